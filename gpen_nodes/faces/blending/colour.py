"""The colours of an image for the crops that are pasted into it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..geometry.resample import compose, invert, resizing, warp

__all__ = ["matched"]

# Cells along a side: light and skin tone vary from cell to cell, while an eye or a mouth, which restoring may
# well darken, fits into one.
_CELLS = 8


def matched(crop: Tensor, image: Tensor, to_crop: Tensor) -> Tensor:
    """A crop with its own detail and the image's tones: what is coarser than 1/8 of its side.

    Args:
        crop: [S, S, 3] in [0, 1].
        image: [H, W, C] in [0, 1], C of 1, 3 or 4, the one that lies beneath.
        to_crop: [2, 3] float64, from the image's to the crop's pixels.

    Returns:
        [S, S, 3] in [0, 1].
    """
    side, cells = len(crop), (_CELLS, _CELLS)
    own = crop.permute(2, 0, 1)[None]
    beneath = image[..., :3].to(crop).permute(2, 0, 1)[None].nan_to_num(0)
    from_cells = resizing(side / _CELLS, side / _CELLS)
    difference = warp(beneath, compose(invert(to_crop), from_cells), cells) - warp(own, from_cells, cells)
    coarse = F.interpolate(difference, (side, side), mode="bicubic", align_corners=False)
    return (own + coarse).clamp(0, 1)[0].permute(1, 2, 0)
