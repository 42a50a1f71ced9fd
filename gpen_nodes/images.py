"""Every conversion of an image's format, range, dtype and size.

The core's image is ComfyUI's: ``[B, H, W, C]``, RGB, float32 in [0, 1], C-order, on any device. Conversions
to integers round to nearest; nothing truncates.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import ImageError

__all__ = [
    "LUMA",
    "as_batch",
    "as_rgb",
    "check_range",
    "from_network",
    "from_uint8",
    "gray_rgb",
    "resize",
    "to_network",
    "to_uint8",
    "with_luma",
    "ycbcr",
]

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the luma of BT.601, by which JPEG and image libraries make gray."""


def as_batch(image: Tensor) -> Tensor:
    """Check an image and give it a batch axis.

    Args:
        image: ``[H, W, C]`` or ``[B, H, W, C]``, C of 1, 3 or 4, floating point in [0, 1].

    Returns:
        ``[B, H, W, C]`` float32 on the same device; no copy where none is needed.

    Raises:
        ImageError: no tensor, another rank, channel count or an integer dtype.
    """
    if not isinstance(image, Tensor):
        raise ImageError(
            f"Found an image of the type {type(image).__name__}; expected a torch tensor [B, H, W, C] or "
            "[H, W, C] in [0, 1]. from_uint8 makes one of a uint8 array: from_uint8(np.asarray(image))."
        )
    if image.dim() == 3:
        image = image.unsqueeze(0)
    if image.dim() != 4 or image.shape[-1] not in (1, 3, 4) or not image.is_floating_point():
        raise ImageError(
            f"Found a tensor of shape {tuple(image.shape)} and {image.dtype}; expected [B, H, W, C] or "
            "[H, W, C] with 1, 3 or 4 channels, floating point in [0, 1]. Convert uint8 arrays with "
            "from_uint8 first."
        )
    return image.to(torch.float32)


def check_range(image: Tensor) -> None:
    """Refuse images of another range, which would be restored to wrong tones or not at all.

    One look at the least and the greatest value, which on a GPU waits for it once. Single values outside of
    [0, 1] do no harm: filters overshoot, and NaN and what is damaged read as black or white. A whole photo
    for 8 bits reaches far beyond 16, though, and one for a network, in [-1, 1] or normalised, below -0.5.

    Args:
        image: of any shape.

    Raises:
        ImageError: values that are not those of a photo in [0, 1].
    """
    if image.numel() == 0:
        return
    low, high = torch.stack(torch.aminmax(image.detach().to(torch.float32))).tolist()
    remedy = ""
    if 16 < high <= 65535:
        remedy = f"divide by {255 if high <= 255 else 65535}"
    elif -4 <= low < -0.5:
        remedy = "what is in [-1, 1] becomes (x + 1) / 2"
    if remedy:
        raise ImageError(f"Found values from {low:g} to {high:g}; expected [0, 1]: {remedy}.")


def as_rgb(image: Tensor) -> Tensor:
    """Any image that ``as_batch`` takes as ``[B, H, W, 3]``: gray three times, alpha left out; a view."""
    batch = as_batch(image)[..., :3]
    return batch.expand(*batch.shape[:3], 3)


def gray_rgb(image: Tensor) -> Tensor:
    """The luma of ``[..., 3]``, three times; a view."""
    return _luma(image).expand(image.shape)


def with_luma(image: Tensor, other: Tensor) -> Tensor:
    """The colours of one picture, the luma of another to its last digits.

    Where a colour of that luma would lie outside of [0, 1] it is paler.

    Args:
        image, other: ``[..., 3]`` in [0, 1].
    """
    luma = _luma(other)
    colour = image - _luma(image)
    room = torch.where(colour > 0, 1 - luma, luma) / colour.abs().clamp(min=1e-6)
    return (luma + colour * room.amin(-1, keepdim=True).clamp(0, 1)).clamp(0, 1)


def _luma(image: Tensor) -> Tensor:
    red, green, blue = image.split(1, dim=-1)
    # Of differences, so that gray stays what it is whatever the rounding.
    return green + LUMA[0] * (red - green) + LUMA[2] * (blue - green)


def from_uint8(array: np.ndarray) -> Tensor:
    """A uint8 ``[H, W, C]`` (or ``[B, H, W, C]``) RGB array as float32 in [0, 1], same axes.

    Raises:
        ImageError: another dtype.
    """
    array = np.asarray(array)
    if array.dtype != np.uint8:
        raise ImageError(
            f"Found an array of {array.dtype}; expected uint8. Divide others by their largest value, "
            "such as torch.from_numpy(array.astype(np.float32) / 65535) for uint16."
        )
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(torch.float32).div_(255)


def to_uint8(image: Tensor) -> np.ndarray:
    """A float image in [0, 1] of any shape as a uint8 array: clamped, then rounded to nearest."""
    return image.detach().to(torch.float32).clamp(0, 1).mul_(255).round_().to(torch.uint8).cpu().numpy()


def resize(image: Tensor, height: int, width: int, *, mode: str = "bicubic") -> Tensor:
    """``[B, H, W, C]`` in [0, 1] at another size, anti-aliased where it shrinks; unchanged at the same size.

    ``mode`` is "bicubic", which keeps edges sharp and is clamped where it overshoots, or "bilinear".
    """
    if image.shape[1:3] == (height, width):
        return image
    planes = image.permute(0, 3, 1, 2)
    planes = F.interpolate(planes, (height, width), mode=mode, antialias=True, align_corners=False)
    return planes.permute(0, 2, 3, 1).clamp(0, 1)


def to_network(image: Tensor) -> Tensor:
    """``[B, H, W, 3]`` in [0, 1] to the network's ``[B, 3, H, W]`` in [-1, 1]."""
    return image.permute(0, 3, 1, 2).mul(2).sub(1)


def from_network(output: Tensor) -> Tensor:
    """The network's ``[B, 3, H, W]`` in [-1, 1] to ``[B, H, W, 3]`` float32, clamped to [0, 1]."""
    return output.to(torch.float32).permute(0, 2, 3, 1).add(1).div(2).clamp(0, 1).contiguous()


def ycbcr(planes: Tensor) -> Tensor:
    """RGB planes [..., 3, H, W] as luma, and Cb and Cr around 0 on the same scale (ITU-T T.871).

    Gray becomes exactly 0 in Cb and Cr.
    """
    red, green, blue = planes.unbind(-3)
    # Of differences, so that equal channels cancel whatever the rounding.
    luma = green + LUMA[0] * (red - green) + LUMA[2] * (blue - green)
    return torch.stack([luma, (blue - luma) / 1.772, (red - luma) / 1.402], dim=-3)
