"""What a network looks like, read from the shapes of its tensors and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from ..errors import ArchitectureError
from .encoders import ENCODERS
from .names import to_module_names
from .shapes import describe, highest, tensor_of

__all__ = ["DiscriminatorConfig", "GpenConfig", "channel_widths"]

SIZES = tuple(2**k for k in range(6, 12))
_DISCRIMINATOR_SIZES = tuple(2**k for k in range(3, 12))
MAX_WIDTH = 8192
"""Channels of a layer, length of a style: 16 times the released ones'."""
MAX_DEPTH = 32
"""Layers of a mapper; the released ones have 8."""


def channel_widths(size: int, narrow: float, multiplier: float) -> dict[int, int]:
    """Channels at each resolution from 4 up to ``size``: 512 up to 32 px, then halved at each doubling."""
    resolutions = [2**k for k in range(2, int(math.log2(size)) + 1)]
    return {r: int(512 * narrow if r <= 32 else 256 * multiplier * narrow * 64 / r) for r in resolutions}


def _number(x: float) -> float:
    return int(x) if x == int(x) else x


def _check_widths(size: int, narrow: float, multiplier: float) -> None:
    if not 0 < narrow <= MAX_WIDTH / 512 or not 0 < multiplier <= MAX_WIDTH / 256:
        raise ArchitectureError(
            f"Found a network of narrow {narrow:g} and multiplier {multiplier:g}; the released ones have 0.5 "
            "to 1 and 1 to 2."
        )
    widths = channel_widths(size, narrow, multiplier)
    if empty := [size for size, width in widths.items() if width < 1]:
        raise ArchitectureError(f"Found a network without channels at {empty[0]} px.")


# Networks that lie in the same folders as GPEN's, by a part of a tensor's name that no other has.
_FOREIGN = {
    "stylegan_decoder": "GFPGAN",
    "fuse_convs_dict": "CodeFormer",
    "quantize.embedding": "a codebook network such as RestoreFormer",
    "body.0.rdb1": "an upscaler (ESRGAN)",
    "model.1.sub.0.RDB1": "an upscaler (ESRGAN)",
    "BboxHead": "a detector of faces (RetinaFace)",
}


def _name_foreign(state: Mapping[str, Tensor]) -> str:
    """What else than a GPEN a file holds, as well as it is known."""
    known = (label for part, label in _FOREIGN.items() if any(f".{part}" in f".{name}" for name in state))
    label = next(known, None)
    return "not a GPEN" if label is None else f"{label}, not a GPEN, and needs that network's own node"


def _encoder_fields(state: Mapping[str, Tensor]) -> dict[str, Any]:
    for name, kind in ENCODERS.items():
        if kind.stem in state:
            return {"encoder": name, **kind.fields(state)}
    raise ArchitectureError(
        f"This GPEN has no encoder that we know (found {describe(state)}): expected ecd0 … ecdN or a "
        "ResNet-50."
    )


@dataclass(frozen=True)
class GpenConfig:
    """The architecture of a restoring network.

    Attributes:
        size: side of the output in pixels, a power of two from 64 to 2048.
        input_size: side of the input; smaller than ``size`` in the super-resolving variant.
        narrow: channels from 4 to 32 px, divided by 512.
        multiplier: widens every resolution from 64 px on.
        concat: the encoder's features are concatenated; otherwise added.
        style_dim: length of the style vector.
        mapping_depth: fully connected layers between encoder and style.
        encoder: ``conv`` of the released checkpoints, or ``resnet50`` of the bundle.
        octaves: times the image is halved before the ResNet-50 sees it; one for each time the model grew.
    """

    size: int
    input_size: int
    narrow: float = 1
    multiplier: float = 2
    concat: bool = True
    style_dim: int = 512
    mapping_depth: int = 8
    encoder: Literal["conv", "resnet50"] = "conv"
    octaves: int = 0

    def __post_init__(self) -> None:
        if self.size not in SIZES or self.input_size not in SIZES or self.input_size > self.size:
            raise ArchitectureError(
                f"Found a GPEN of {self.input_size} px in and {self.size} px out; expected powers of two "
                f"from {SIZES[0]} to {SIZES[-1]}, the input not larger than the output."
            )
        if not 1 <= self.style_dim <= MAX_WIDTH or not 0 <= self.mapping_depth <= MAX_DEPTH:
            raise ArchitectureError(
                f"Found a mapper of {self.mapping_depth} layers and a style of {self.style_dim}; expected at "
                f"most {MAX_DEPTH} layers and {MAX_WIDTH}."
            )
        if not 0 <= self.octaves <= len(SIZES):
            raise ArchitectureError(f"Found an encoder that halves the picture {self.octaves} times.")
        _check_widths(self.size, self.narrow, self.multiplier)
        kind = ENCODERS[self.encoder]
        if kind.mapping_depth not in (None, self.mapping_depth):
            raise ArchitectureError(
                f"Found a mapper of {self.mapping_depth} layers with a {kind.label} encoder; expected "
                f"{kind.mapping_depth}."
            )

    @property
    def widths(self) -> dict[int, int]:
        """Channels at each resolution from 4 to ``size``."""
        return channel_widths(self.size, self.narrow, self.multiplier)

    def working_bytes(self, held: float = 1) -> int:
        """Memory for one face, fp32: all feature maps ``held`` times, and the widest 8 times more."""
        maps = [width * resolution**2 for resolution, width in self.widths.items()]
        return int(4 * (held * sum(maps) + 8 * max(maps)))

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> GpenConfig:
        """Read the architecture from tensor shapes, under the released names or this package's.

        Raises:
            ArchitectureError: the tensors are a discriminator, incomplete, or no GPEN at all.
        """
        state = to_module_names(state)
        if "final_conv.0.weight" in state and "generator.input.input" not in state:
            d = DiscriminatorConfig.from_state_dict(state)
            raise ArchitectureError(
                f"This is a GPEN discriminator ({d.size} px, narrow {d.narrow}, multiplier {d.multiplier}): "
                "it helps to train a model and cannot restore. Choose the generator's file, whose name lacks "
                "the -D."
            )
        if "generator.input.input" not in state:
            raise ArchitectureError(
                f"This is {_name_foreign(state)}: expected a tensor generator.input.input, found "
                f"{describe(state)}."
            )
        narrow = tensor_of(state, "generator.input.input", 4).shape[1] / 512
        last_rgb = highest(state, r"generator\.to_rgbs\.(\d+)\.")
        wide = tensor_of(state, "generator.convs.6.conv.weight", 5).shape[1]
        conv1 = tensor_of(state, "generator.conv1.conv.weight", 5)
        return cls(
            size=2 ** (last_rgb + 3),
            narrow=_number(narrow),
            multiplier=_number(wide / (256 * narrow)),
            concat=tensor_of(state, "generator.conv1.activate.bias", 1).shape[0] == 2 * conv1.shape[1],
            style_dim=tensor_of(state, "generator.conv1.conv.modulation.weight", 2).shape[1],
            **_encoder_fields(state),
        )


@dataclass(frozen=True)
class DiscriminatorConfig:
    """The architecture of a discriminator: side of its input in pixels, narrow and multiplier as in GPEN."""

    size: int
    narrow: float = 1
    multiplier: float = 2

    def __post_init__(self) -> None:
        if self.size not in _DISCRIMINATOR_SIZES:
            raise ArchitectureError(
                f"Found a discriminator of {self.size} px; expected a power of two up to {SIZES[-1]}."
            )
        _check_widths(self.size, self.narrow, self.multiplier)

    @property
    def widths(self) -> dict[int, int]:
        """Channels at each resolution from 4 to ``size``."""
        return channel_widths(self.size, self.narrow, self.multiplier)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> DiscriminatorConfig:
        """Read the architecture from tensor shapes.

        Raises:
            ArchitectureError: the tensors are not a GPEN discriminator.
        """
        narrow = tensor_of(state, "final_linear.1.weight", 2).shape[1] / 512
        blocks = highest(state, r"convs\.(\d+)\.")
        # convs.0 lifts RGB to the widest resolution's channels, which tell the multiplier.
        first = tensor_of(state, "convs.0.0.weight", 4).shape[0]
        size = 2 ** (blocks + 2)
        multiplier = first * size / (256 * 64 * narrow) if size >= 64 else 1
        return cls(size=size, narrow=_number(narrow), multiplier=_number(multiplier))
