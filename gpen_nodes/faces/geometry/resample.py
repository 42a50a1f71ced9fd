"""Affine resampling that touches only the pixels it needs and doesn't alias.

Maps are [2, 3] float64 tensors on the CPU, from pixels to pixels, integers at pixel centres.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["compose", "extent", "invert", "resized", "resizing", "shift", "unit_grid", "warp"]

_REACH = 3  # pixels that a bicubic filter may need beyond the outer edge, and one to spare
_LOBES = 3
_LANCZOS_MARGIN = 2 * _LOBES - 1  # samples that halving takes away on each side
# Output pixels up to this far apart are sampled directly: there, what aliases on photos of faces is as little
# as what the filters would blur (51 dB to an ideal low pass).
_ALIASING = 1.2
_BAND_PIXELS = 2**18  # sampled at once: bounds the grid's memory, and how long Cancel has to wait


def shift(x: float, y: float) -> Tensor:
    """The map that adds (x, y)."""
    return torch.tensor([[1, 0, x], [0, 1, y]], dtype=torch.float64)


def resizing(sx: float, sy: float) -> Tensor:
    """The map from an image's pixels to those of the same image resized by ``sx`` and ``sy``."""
    return torch.tensor([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5]], dtype=torch.float64)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The map that applies ``inner``, then ``outer``."""
    linear = outer[:, :2] @ inner
    linear[:, 2] += outer[:, 2]
    return linear


def invert(matrix: Tensor) -> Tensor:
    """The inverse of a map."""
    linear = torch.linalg.inv(matrix[:, :2])
    return torch.cat([linear, -linear @ matrix[:, 2:]], dim=1)


def extent(matrix: Tensor, size: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where a map puts an image of ``size`` (height, width): (low, high) in x and in y, outer edges."""
    bottom, right = size[0] - 0.5, size[1] - 0.5
    corners = torch.tensor([[-0.5, -0.5], [right, -0.5], [-0.5, bottom], [right, bottom]]).to(matrix)
    xs, ys = (corners @ matrix[:, :2].T + matrix[:, 2]).T.tolist()
    return (min(xs), max(xs)), (min(ys), max(ys))


def resized(image: Tensor, size: tuple[int, int], check: Callable[[], object]) -> Tensor:
    """[B, C, H, W] at another (height, width), bilinear, anti-aliased where it shrinks.

    One channel at a time, with a ``check`` before each: of an 8K image they take half a second.
    """
    planes = []
    for plane in image.split(1, dim=1):
        check()
        planes.append(F.interpolate(plane, size, mode="bilinear", align_corners=False, antialias=True))
    return torch.cat(planes, dim=1)


def warp(
    image: Tensor,
    matrix: Tensor,
    size: tuple[int, int],
    border: str = "replicate",
    check: Callable[[], object] = lambda: None,
) -> Tensor:
    """Sample an image on an affine grid: ``out[y, x] = image[matrix(x, y)]``.

    A grid as dense as the image is sampled by bicubic interpolation. One that is coarser would alias: it is
    sampled twice as densely and brought down by a Lanczos filter, from an image that was first shrunk to that
    density if need be. Cost depends on the output and on the part of the image that it covers, on nothing
    else. Differentiable in ``image``.

    Args:
        image: [B, C, H, W], any range.
        matrix: from output to image pixels.
        size: (height, width) of the output.
        border: what lies beyond the image: "replicate" or "reflect".
        check: called before each band of rows; what it raises ends the sampling.

    Returns:
        [B, C, *size]; the filters overshoot, so values may leave the image's range a little.
    """
    density = torch.linalg.vector_norm(matrix[:, :2], dim=0).max().item()
    if density <= _ALIASING:
        return _sample(image, matrix, size, border, check)
    to_output = compose(resizing(0.5, 0.5), shift(-_LANCZOS_MARGIN, -_LANCZOS_MARGIN))
    fine = size[0] * 2 + 2 * _LANCZOS_MARGIN, size[1] * 2 + 2 * _LANCZOS_MARGIN
    return _halve(_sample(image, compose(matrix, to_output), fine, border, check))


def _sample(
    image: Tensor, matrix: Tensor, size: tuple[int, int], border: str, check: Callable[[], object]
) -> Tensor:
    """Bicubic samples on an affine grid, from an image shrunk to the grid's density."""
    density = max(1.0, torch.linalg.vector_norm(matrix[:, :2], dim=0).max().item())
    (x0, x1), (y0, y1) = (
        _needed(low - _REACH * density, high + _REACH * density, side, border)
        for (low, high), side in zip(extent(matrix, size), (image.shape[3], image.shape[2]), strict=True)
    )
    part = image[..., y0:y1, x0:x1]
    matrix = compose(shift(-x0, -y0), matrix)
    if density > _ALIASING:
        height, width = part.shape[2:]
        shrunk = [max(1, round(side / density)) for side in (height, width)]
        part = F.interpolate(part, shrunk, mode="bicubic", align_corners=False, antialias=True)
        matrix = compose(resizing(shrunk[1] / width, shrunk[0] / height), matrix)
    padding = "reflection" if border == "reflect" else "border"
    bands = []
    for rows in torch.arange(size[0]).split(max(1, _BAND_PIXELS // size[1])):
        check()
        grid = _unit_grid(matrix, rows, size[1], part).expand(len(part), -1, -1, -1)
        bands.append(F.grid_sample(part, grid, mode="bicubic", padding_mode=padding, align_corners=False))
    return bands[0] if len(bands) == 1 else torch.cat(bands, dim=2)


def _halve(image: Tensor) -> Tensor:
    """[B, C, 2 h + 10, 2 w + 10] to [B, C, h, w] by Lanczos' filter with three lobes."""
    taps = torch.arange(-2 * _LOBES + 0.5, 2 * _LOBES).to(image) / 2
    kernel = torch.sinc(taps) * torch.sinc(taps / _LOBES)
    image = image.contiguous(memory_format=torch.channels_last)  # three times as fast on a CPU
    channels = image.shape[1]
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    rows = F.conv2d(image, kernel, stride=(1, 2), groups=channels)
    return F.conv2d(rows, kernel.mT, stride=(2, 1), groups=channels)


def unit_grid(matrix: Tensor, size: tuple[int, int], image: Tensor) -> Tensor:
    """Where the pixels of an output lie in an image [..., H, W], in units of half its sides from its middle.

    Args:
        matrix: from output to image pixels.
        size: (height, width) of the output.
        image: gives the sides, dtype and device.

    Returns:
        [*size, 2], (x, y); -1 and 1 are the image's outer edges, as grid_sample takes them.
    """
    return _unit_grid(matrix, torch.arange(size[0]), size[1], image)


def _unit_grid(matrix: Tensor, rows: Tensor, columns: int, image: Tensor) -> Tensor:
    """``unit_grid`` for some of an output's rows, by their numbers."""
    height, width = image.shape[-2:]
    to_unit = torch.tensor(
        [[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1]], dtype=torch.float64
    )
    x_step, y_step, origin = compose(to_unit, matrix).to(image).T
    ys, xs = rows.to(image), torch.arange(columns).to(image)
    return origin + xs[None, :, None] * x_step + ys[:, None, None] * y_step


def _needed(low: float, high: float, side: int, border: str) -> tuple[int, int]:
    """First and last + 1 of an axis's ``side`` pixels that the span from low to high reads; never empty."""
    if border == "reflect":  # what lies d pixels outside is read d pixels inside
        low, high = min(low, 2 * side - high), max(high, -low)
    start = min(max(math.floor(low), 0), side - 1)
    return start, min(max(math.ceil(high) + 1, start + 1), side)
