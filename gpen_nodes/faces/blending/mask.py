"""How much a crop counts where, and masks of users."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...errors import ImageError
from ..geometry.resample import unit_grid

__all__ = ["fit_mask", "soft_mask"]

_ROUNDNESS = 3  # of the soft mask: 2 is a circle, more is nearer to a square


def soft_mask(crop: Tensor, to_crop: Tensor, size: tuple[int, int], softness: float) -> Tensor:
    """How much a crop counts in a part of an image: 1 in its middle, 0 at its border and beyond.

    It falls along a superellipse that touches the crop's sides.

    Args:
        crop: [S, S, 3], for its side, dtype and device.
        to_crop: from the part's to the crop's pixels.
        size: (height, width) of the part.
        softness: share of the crop's half side over which it falls, in (0, 1].

    Returns:
        [*size] in [0, 1].
    """
    x, y = unit_grid(to_crop, size, crop.permute(2, 0, 1)).abs_().unbind(-1)
    radius = x.pow(_ROUNDNESS).add_(y.pow(_ROUNDNESS)).pow_(1 / _ROUNDNESS)
    t = radius.neg_().add_(1).div_(softness).clamp_(0, 1)
    # t³ (6 t² - 15 t + 10): two derivatives vanish at both ends, so that no edge is visible.
    return (6 * t).sub_(15).mul_(t).add_(10).mul_(t).mul_(t).mul_(t).clamp_(max=1)


def fit_mask(mask: Tensor, image: Tensor) -> Tensor:
    """A mask of any size as one for each image.

    Args:
        mask: [H, W], [B, H, W] or [B, 1, H, W] of any size, in [0, 1].
        image: [B, H, W, C].

    Returns:
        [B, H, W] float32 of the images' size: resized, and repeated from the first on if there are too few.

    Raises:
        ImageError: no such mask.
    """
    if mask.dim() < 2 or mask.numel() == 0:
        raise ImageError(f"Found a mask of shape {tuple(mask.shape)}; expected [B, H, W].")
    mask = mask.reshape(-1, *mask.shape[-2:]).float()
    size = tuple(image.shape[1:3])
    if mask.shape[1:] != size:
        mask = F.interpolate(mask[None], size, mode="bilinear", align_corners=False)[0]
    repeats = -(-len(image) // len(mask))
    return mask.repeat(repeats, 1, 1)[: len(image)]
