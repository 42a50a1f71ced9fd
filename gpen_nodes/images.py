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

__all__ = ["as_batch", "as_rgb", "from_network", "from_uint8", "resize", "to_network", "to_uint8"]


def as_batch(image: Tensor) -> Tensor:
    """Check an image and give it a batch axis.

    Args:
        image: ``[H, W, C]`` or ``[B, H, W, C]``, C of 1, 3 or 4, floating point in [0, 1].

    Returns:
        ``[B, H, W, C]`` float32 on the same device; no copy where none is needed.

    Raises:
        ImageError: another rank, channel count or an integer dtype.
    """
    if image.dim() == 3:
        image = image.unsqueeze(0)
    if image.dim() != 4 or image.shape[-1] not in (1, 3, 4) or not image.is_floating_point():
        raise ImageError(
            f"Found a tensor of shape {tuple(image.shape)} and {image.dtype}; expected [B, H, W, C] or "
            "[H, W, C] with 1, 3 or 4 channels, floating point in [0, 1]. Convert uint8 arrays with "
            "from_uint8 first."
        )
    return image.to(torch.float32)


def as_rgb(image: Tensor) -> Tensor:
    """Any image that ``as_batch`` takes as ``[B, H, W, 3]``: gray three times, alpha left out; a view."""
    batch = as_batch(image)[..., :3]
    return batch.expand(*batch.shape[:3], 3)


def from_uint8(array: np.ndarray) -> Tensor:
    """A uint8 ``[H, W, C]`` (or ``[B, H, W, C]``) RGB array as float32 in [0, 1], same axes."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(torch.float32).div_(255)


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
