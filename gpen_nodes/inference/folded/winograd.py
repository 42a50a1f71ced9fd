"""3×3 convolutions with fewer multiplications: Winograd's minimal filtering, as matrix products.

After Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016). In one dimension a tile d of
inputs and the taps g give the outputs A(Gg ⊙ Bd); in two, each matrix acts on both axes. The products ⊙ over
all tiles and channels are one matrix multiplication for each point of the tile.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["F2", "F4", "Winograd", "winograd_conv2d", "winograd_weight"]

STRIP_BYTES = 10 << 20  # of tiles that are taken at once: in the processor's cache

Matrix = tuple[tuple[float, ...], ...]


class Winograd(NamedTuple):
    """A minimal filtering algorithm: B, G and A, and the most tiles to take at once."""

    inputs: Matrix
    weights: Matrix
    outputs: Matrix
    strip: int


F4 = Winograd(
    inputs=(
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    weights=(
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    outputs=((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
    strip=128,
)
"""F(4×4, 3×3): a quarter of the multiplications, too inexact for bf16."""

F2 = Winograd(
    inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1)),
    weights=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    outputs=((1, 1, 1, 0), (0, 1, -1, 1)),
    strip=256,
)
"""F(2×2, 3×3): 4/9 of the multiplications, with an error small enough for bf16."""


@cache
def _both_axes(matrix: Matrix, dtype: torch.dtype) -> Tensor:
    m = torch.tensor(matrix, dtype=torch.float32, device="cpu")
    return torch.kron(m, m).to(dtype)


def winograd_weight(weight: Tensor, form: Winograd, dtype: torch.dtype) -> Tensor:
    """[O, I, 3, 3] fp32 to the [P, I, O] that ``winograd_conv2d`` takes, P the points of a tile."""
    outputs, inputs = weight.shape[:2]
    taps = weight.permute(2, 3, 1, 0).reshape(9, -1)
    return (_both_axes(form.weights, weight.dtype) @ taps).to(dtype).view(-1, inputs, outputs)


def winograd_conv2d(x: Tensor, weight: Tensor, form: Winograd) -> Tensor:
    """Convolution of one image on the CPU, without padding.

    Args:
        x: [1, I, H + 2, W + 2], H and W multiples of the step.
        weight: [P, I, O] of ``winograd_weight``.

    Returns:
        [1, O, H, W], channels-last.
    """
    x = x.permute(0, 2, 3, 1).contiguous()
    _, height, width, inputs = x.shape
    side, step, outputs = len(form.inputs), len(form.outputs), weight.shape[2]
    down, across = (height - 2) // step, (width - 2) // step
    row = width * inputs
    # Tiles overlap: row of tiles, tile, position in the tile, channel.
    tiles = x.as_strided((down, across, side, side, inputs), (step * row, step * inputs, row, inputs, 1))
    to_points, to_pixels = _both_axes(form.inputs, x.dtype), _both_axes(form.outputs, x.dtype)
    y = x.new_empty((down, step, across, step, outputs))
    pixels = y.transpose(1, 2)
    at_once = min(form.strip, STRIP_BYTES // (side**2 * inputs * x.element_size()) or 1)
    columns = min(at_once, across)
    rows = at_once // columns
    for i in range(0, down, rows):
        for j in range(0, across, columns):
            some = tiles[i : i + rows, j : j + columns]
            count = some.shape[0] * some.shape[1]
            points = torch.bmm(to_points.expand(count, -1, -1), some.reshape(count, -1, inputs))
            products = torch.bmm(points.transpose(0, 1), weight)
            made = torch.bmm(to_pixels.expand(count, -1, -1), products.transpose(0, 1))
            strip = pixels[i : i + rows, j : j + columns]
            strip.copy_(made.view(strip.shape))
    return y.view(1, height - 2, width - 2, outputs).permute(0, 3, 1, 2)
