"""Octaves of an aligned face: an exact split by size of detail, in luma and colour difference."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..images import LUMA, ycbcr

__all__ = ["REST", "SIDES", "join", "middle", "resized", "side_by_side", "split", "to_rgb", "to_ycc"]

SIDES = (256, 128, 64, 32, 16, 8)
"""Sides in pixels to which a crop is shrunk one after the other; an octave is what each shrinking loses.

Sides count pixels of a face, not of a picture: an aligned face fills its crop always alike.
"""
REST = 0
"""The key of what is left at the smallest side."""


def to_ycc(crop: Tensor) -> Tensor:
    """[S, S, 3] RGB in [0, 1] to [3, S, S]: luma in [0, 1], Cb and Cr in [-0.5, 0.5]; see ``ycbcr``."""
    return ycbcr(crop.permute(2, 0, 1))


def to_rgb(ycc: Tensor) -> Tensor:
    """The inverse of ``to_ycc``, clamped to [0, 1]. Colours out of range lose saturation, not luma."""
    luma = ycc[0].clamp(0, 1)
    red, blue = 1.402 * ycc[2], 1.772 * ycc[1]
    difference = torch.stack([red, -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1], blue])
    room = torch.where(difference > 0, 1 - luma, luma)
    share = room.div_(difference.abs().clamp_(min=1e-6)).amin(0).clamp_(max=1)
    return difference.mul_(share).add_(luma).clamp_(0, 1).permute(1, 2, 0).contiguous()


def split(planes: Tensor) -> dict[int, Tensor]:
    """Planes [C, S, S] as octaves, each at its own size; the key is the side below which it is not seen."""
    octaves = {}
    for side in SIDES:
        if side < planes.shape[-1]:
            smaller = resized(planes, side)
            octaves[side] = planes - resized(smaller, planes.shape[-1])
            planes = smaller
    return octaves | {REST: planes}


def join(octaves: Mapping[int, Tensor]) -> Tensor:
    """The inverse of ``split``."""
    planes = octaves[REST]
    for side in reversed(SIDES):
        if side in octaves:
            planes = octaves[side] + resized(planes, octaves[side].shape[-1])
    return planes


def middle(planes: Tensor) -> Tensor:
    """The middle 3/5 of [..., S, S], where every template has the face itself."""
    side = planes.shape[-1]
    inner = slice(side // 5, side - side // 5)
    return planes[..., inner, inner]


def side_by_side(before: Tensor, after: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Both crops [S, S, 3] as YCbCr planes [3, side, side]."""
    return resized(to_ycc(before), side), resized(to_ycc(after), side)


def resized(planes: Tensor, side: int) -> Tensor:
    """Planes [C, S, S] at another size, anti-aliased where they shrink."""
    if planes.shape[-1] == side:
        return planes
    shrinks = side < planes.shape[-1]
    size = (side, side)
    return F.interpolate(planes[None], size, mode="bicubic", align_corners=False, antialias=shrinks)[0]
