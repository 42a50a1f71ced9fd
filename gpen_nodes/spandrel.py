"""GPEN for spandrel, by which chaiNNer and others load models. Nothing is registered before ``register()``.

A GPEN restores one aligned face. Programs that load any model through spandrel and tile whole photos would
get nonsense from it: only one that crops faces itself, as chaiNNer's *Upscale Face* does, should register it.
"""

from __future__ import annotations

from typing import Any, cast

import torch.nn.functional as F
from spandrel import (
    MAIN_REGISTRY,
    Architecture,
    ArchRegistry,
    ArchSupport,
    ImageModelDescriptor,
    SizeRequirements,
    StateDict,
)
from spandrel.util import KeyCondition
from torch import Tensor

from .model import Gpen, GpenConfig
from .model.names import to_module_names

__all__ = ["SUPPORT", "FaceGpen", "GpenArch", "register"]

_ENCODERS = KeyCondition.has_any(
    "ecd0.0.0.weight",  # as released
    "encoder.stages.0.weight",  # as this package writes safetensors
    "encoder.conv1.weight",  # with a ResNet-50
)


class FaceGpen(Gpen):
    """A GPEN for aligned faces of any side, called as chaiNNer calls its face networks."""

    def forward(self, image: Tensor, **options: Any) -> tuple[Tensor, None]:  # type: ignore[override]
        """Restore faces at the side that they have, whatever side the network has.

        Args:
            image: [B, 3, S, S], RGB in [-1, 1].
            options: of other face networks, such as ``return_rgb`` and ``weight``; they change nothing here.

        Returns:
            [B, 3, S, S], and None where others give more.
        """
        faces = super().forward(_resized(image, self.config.input_size))
        return _resized(faces, image.shape[-1]), None


def _resized(image: Tensor, side: int) -> Tensor:
    if image.shape[-1] == image.shape[-2] == side:
        return image
    # In fp32: anti-aliasing has no kernel for half precision on some devices.
    resized = F.interpolate(image.float(), (side, side), mode="bicubic", antialias=True, align_corners=False)
    return resized.to(image.dtype)


class GpenArch(Architecture[FaceGpen]):
    """Any GPEN that restores, its widths and sizes read from its tensors."""

    def __init__(self) -> None:
        super().__init__(
            id="GPEN",
            detect=KeyCondition.has_all("generator.input.input", "generator.conv1.conv.weight", _ENCODERS),
        )

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[FaceGpen]:
        """A network on the CPU.

        Raises:
            ArchitectureError: the tensors are no complete GPEN.
        """
        state = to_module_names(state_dict)
        config = GpenConfig.from_state_dict(state)
        sides = (
            f"{config.size}px"
            if config.size == config.input_size
            else f"{config.input_size}to{config.size}px"
        )
        return ImageModelDescriptor(
            cast("FaceGpen", FaceGpen.from_state_dict(state, config)),
            state,
            architecture=self,
            purpose="FaceSR",
            tags=[sides],
            supports_half=False,
            supports_bfloat16=True,
            scale=1,  # the face comes back at the side that it had
            input_channels=3,
            output_channels=3,
            size_requirements=SizeRequirements(square=True),
            call_fn=lambda model, image: model(image * 2 - 1)[0] / 2 + 0.5,
        )


SUPPORT = ArchSupport.from_architecture(GpenArch())
"""For a registry of one's own: ``ModelLoader(registry=…)``."""


def register(registry: ArchRegistry = MAIN_REGISTRY) -> None:
    """Make spandrel load GPEN checkpoints, in this process; a second call does nothing.

    Args:
        registry: the one that every ``ModelLoader`` uses unless it is given another.
    """
    registry.add(SUPPORT, ignore_duplicates=True)
