"""The colours of an image for the crops that are pasted into it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ..geometry.resample import compose, extent, invert, resizing, shift, warp

__all__ = ["matched"]

# Cells along a side: light and skin tone vary from cell to cell, while an eye or a mouth, which restoring may
# well darken, fits into one.
_CELLS = 8


def matched(crop: Tensor, image: Tensor, to_crop: Tensor, check: Callable[[], object]) -> Tensor:
    """A crop with its own detail and the image's tones: what is coarser than 1/8 of its side.

    Args:
        crop: [S, S, 3] in [0, 1].
        image: [H, W, C] in [0, 1], C of 1, 3 or 4, the one that lies beneath.
        to_crop: [2, 3] float64, from the image's to the crop's pixels.
        check: called between the steps; what it raises ends them.

    Returns:
        [S, S, 3] in [0, 1].
    """
    side, cells = len(crop), (_CELLS, _CELLS)
    own = crop.permute(2, 0, 1)[None]
    from_crop = invert(to_crop)
    # Of a large image only what lies about the face: a look at each of its pixels would cost far more.
    (x0, x1), (y0, y1) = (
        (min(max(0, math.floor(2 * low - high)), limit - 1), max(1, min(limit, math.ceil(2 * high - low))))
        for (low, high), limit in zip(
            extent(from_crop, (side, side)), (image.shape[1], image.shape[0]), strict=True
        )
    )
    beneath = image[y0:y1, x0:x1, :3].to(crop).permute(2, 0, 1)[None].nan_to_num(0)
    from_cells = resizing(side / _CELLS, side / _CELLS)
    to_part = compose(shift(-x0, -y0), compose(from_crop, from_cells))
    check()
    difference = warp(beneath, to_part, cells, check=check) - warp(own, from_cells, cells, check=check)
    check()
    coarse = F.interpolate(difference, (side, side), mode="bicubic", align_corners=False)
    return (own + coarse).clamp(0, 1)[0].permute(1, 2, 0)
