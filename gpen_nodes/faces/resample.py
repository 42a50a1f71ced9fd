"""Affine resampling that touches only the pixels it needs and doesn't alias."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["compose", "invert", "warp"]

_MARGIN = 3  # source pixels that a bicubic tap may reach beyond the corners, and one to spare


def warp(
    image: Tensor, matrix: Tensor, size: tuple[int, int], *, border: str = "replicate", antialias: bool = True
) -> Tensor:
    """Sample an image on an affine grid: ``out[y, x] = image[matrix @ (x, y, 1)]``.

    Where the grid is coarser than the image, the part of the image in question is first shrunk to the grid's
    density by a separable anti-aliased bicubic filter; what is left, turn and fraction of a pixel, is
    bicubic too. Cost depends on the output and on the part of the image that it covers, on nothing else.
    Differentiable in ``image``.

    Args:
        image: [B, C, H, W], any range.
        matrix: [2, 3] float64, from output to image pixels, integers at pixel centres.
        size: (height, width) of the output.
        border: what lies beyond the image: "replicate" or "reflect".

    Returns:
        [B, C, *size]; bicubic filters overshoot, so values may leave the image's range a little.
    """
    x0, y0, x1, y1 = _covered(matrix, size, image.shape[-2:], border)
    part = image[..., y0:y1, x0:x1]
    to_part = compose(_scaling(1, 1, -x0, -y0), matrix)
    density = torch.linalg.vector_norm(matrix[:, :2], dim=0).max().item()
    if antialias and density > 1:
        height, width = part.shape[-2:]
        shrunk = [max(1, round(side / density)) for side in (height, width)]
        part = F.interpolate(part, shrunk, mode="bicubic", align_corners=False, antialias=True)
        sx, sy = shrunk[1] / width, shrunk[0] / height
        to_part = compose(_scaling(sx, sy, sx / 2 - 0.5, sy / 2 - 0.5), to_part)
    grid = _grid(to_part, size, part)
    padding = "reflection" if border == "reflect" else "border"
    return F.grid_sample(part, grid, mode="bicubic", padding_mode=padding, align_corners=False)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The [2, 3] map that applies ``inner``, then ``outer``."""
    linear = outer[:, :2] @ inner
    linear[:, 2] += outer[:, 2]
    return linear


def invert(matrix: Tensor) -> Tensor:
    """The inverse of a [2, 3] map."""
    linear = torch.linalg.inv(matrix[:, :2])
    return torch.cat([linear, -linear @ matrix[:, 2:]], dim=1)


def _scaling(sx: float, sy: float, tx: float, ty: float) -> Tensor:
    return torch.tensor([[sx, 0, tx], [0, sy, ty]], dtype=torch.float64)


def _covered(
    matrix: Tensor, size: tuple[int, int], bounds: torch.Size, border: str
) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the part of the image that the output needs; never empty."""
    height, width = size
    corners = torch.tensor([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]]).to(matrix)
    points = corners @ matrix[:, :2].T + matrix[:, 2]
    reach = _MARGIN * max(1.0, torch.linalg.vector_norm(matrix[:, :2], dim=0).max().item())
    spans = []
    for axis, side in ((0, bounds[1]), (1, bounds[0])):
        low = points[:, axis].min().item() - reach
        high = points[:, axis].max().item() + reach
        if border == "reflect":  # what lies d pixels outside is read d pixels inside
            low, high = min(low, 2 * side - high), max(high, -low)
        start = min(max(math.floor(low), 0), side - 1)
        spans.append((start, min(max(math.ceil(high) + 1, start + 1), side)))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _grid(matrix: Tensor, size: tuple[int, int], image: Tensor) -> Tensor:
    """grid_sample's grid [B, *size, 2] for a map from output to image pixels."""
    height, width = image.shape[-2:]
    # grid_sample's -1 and 1 are the outer edges of the image, half a pixel beyond the outer centres.
    normal = compose(_scaling(2 / width, 2 / height, 1 / width - 1, 1 / height - 1), matrix)
    normal = normal.to(image)
    xs = torch.arange(size[1]).to(image)
    ys = torch.arange(size[0]).to(image)
    grid = normal[:, 2] + xs[None, :, None] * normal[:, 0] + ys[:, None, None] * normal[:, 1]
    return grid.expand(len(image), *grid.shape)
