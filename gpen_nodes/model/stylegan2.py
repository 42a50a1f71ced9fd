"""A GPEN that begins as StyleGAN2: how the published models began (Yang et al. 2021, section 3)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import ArchitectureError
from .config import GpenConfig
from .names import to_module_names
from .network import Gpen

__all__ = ["Inheritance", "init_from_stylegan2"]


@dataclass
class Inheritance:
    """What became of each tensor.

    Attributes:
        taken: of the new model, as StyleGAN2 has them.
        widened: of the new model; StyleGAN2's, and beside it what belongs to the encoder's features.
        new: of the new model, without a counterpart.
        left: of StyleGAN2, without a counterpart.
    """

    taken: list[str] = field(default_factory=list)
    widened: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = {
            "taken as they are": self.taken,
            "taken, and widened for the encoder's features": self.widened,
            "new": self.new,
            "left behind": self.left,
        }
        return "\n".join(f"{what} ({len(names)}): {_short(names)}" for what, names in parts.items())


@torch.no_grad()
def init_from_stylegan2(state: Mapping[str, Tensor]) -> tuple[Gpen, Inheritance]:
    """A GPEN whose mapper and generator are StyleGAN2's, and whose encoder is new.

    GPEN concatenates the encoder's features with what StyleGAN2 adds noise to, so that the layers that follow
    have twice the input. Their weights for the features start at zero: whatever the encoder gives, the
    generator starts as StyleGAN2 without noise. Gradients reach the zeros at once, and the encoder with them.

    Args:
        state: a StyleGAN2 generator of 64 to 2048 px under the names of rosinality/stylegan2-pytorch
            (``style.1.weight``, ``conv1.conv.weight``, ``convs.0.…``, ``to_rgbs.0.…``).

    Returns:
        The model, and what became of each tensor.

    Raises:
        ArchitectureError: tensors are missing, or of a shape that a StyleGAN2 does not have.
    """
    source = to_module_names({f"generator.{name}": tensor for name, tensor in state.items()})
    model = Gpen(_config(source))
    fate = Inheritance()
    for name, tensor in model.state_dict().items():
        if name.startswith("encoder.") or name.endswith("noise.weight"):
            fate.new.append(name)
        elif _inherit(name, tensor, source.get(name)):
            fate.widened.append(name)
        else:
            fate.taken.append(name)
    used = {*fate.taken, *fate.widened}
    fate.left = [name.removeprefix("generator.") for name in source if name not in used]
    return model, fate


def _config(source: Mapping[str, Tensor]) -> GpenConfig:
    constant, wide = source.get("generator.input.input"), source.get("generator.convs.6.conv.weight")
    style = source.get("mapper.1.weight")
    if constant is None or wide is None or style is None or constant.dim() != 4 or wide.dim() != 5:
        found = ", ".join(sorted(name.removeprefix("generator.") for name in source)[:3]) or "none"
        raise ArchitectureError(
            "This is no StyleGAN2 generator of 64 px or more in rosinality's layout: expected tensors "
            f"such as style.1.weight, input.input and convs.6.conv.weight; found {found}. NVIDIA's own "
            "files become such by rosinality's convert_weight.py."
        )
    numbers = {kind: _numbers(source, kind) for kind in (r"generator\.to_rgbs", "mapper")}
    size = 2 ** (max(numbers[r"generator\.to_rgbs"], default=-1) + 3)
    narrow = constant.shape[1] / 512
    return GpenConfig(
        size,
        size,
        narrow,
        wide.shape[1] / (256 * narrow),
        style_dim=style.shape[0],
        mapping_depth=len(numbers["mapper"]),
    )


def _numbers(source: Mapping[str, Tensor], kind: str) -> set[int]:
    return {int(m[1]) for m in (re.match(rf"{kind}\.(\d+)\.", name) for name in source) if m}


def _inherit(name: str, target: Tensor, source: Tensor | None) -> bool:
    """Fill ``target``; whether it is wider than ``source``, along the one axis on which features come in."""
    if source is not None and source.shape == target.shape:
        target.copy_(source)
        return False
    axis = 2 if name.endswith(".conv.weight") else 0
    half = [n // 2 if k == axis else n for k, n in enumerate(target.shape)]
    if source is None or list(source.shape) != half:
        found = "is missing" if source is None else f"has shape {list(source.shape)}"
        raise ArchitectureError(
            f"{name.removeprefix('generator.')} {found}; a StyleGAN2 of this size has {half} there."
        )
    old, features = target.tensor_split(2, dim=axis)
    if axis == 2:
        # Twice the inputs make the equalised scale 1 / sqrt(fan_in) smaller.
        old.copy_(source * math.sqrt(2))
        features.zero_()
    else:  # Biases of the features stay 0, and their modulation as it is drawn.
        old.copy_(source)
    return True


def _short(names: list[str]) -> str:
    """Names that differ in a number as one: ``generator.convs.0-7.conv.weight``."""
    numbers: dict[tuple[str, str], list[str]] = {}
    for name in names:
        number = re.search(r"(?<=[._])\d+(?=\.|$)", name)
        start, end = number.span() if number else (len(name), len(name))
        numbers.setdefault((name[:start], name[end:]), []).append(name[start:end])
    shown = [
        before + found[0] + (f"-{found[-1]}" if len(found) > 1 else "") + after
        for (before, after), found in numbers.items()
    ]
    return ", ".join(shown) or "none"
