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

Matrix = tuple[tuple[float, ...], ...]


class Winograd(NamedTuple):
    """A minimal filtering algorithm: B, G and A."""

    inputs: Matrix
    weights: Matrix
    outputs: Matrix


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
)
"""F(4×4, 3×3): a quarter of the multiplications, too inexact for bf16."""

F2 = Winograd(
    inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, -1, 0, 1)),
    weights=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    outputs=((1, 1, 1, 0), (0, 1, -1, 1)),
)
"""F(2×2, 3×3): 4/9 of the multiplications, and so little more error that bf16 bears it."""


@cache
def _both_axes(matrix: Matrix, dtype: torch.dtype) -> Tensor:
    m = torch.tensor(matrix, dtype=torch.float32)
    return torch.kron(m, m).to(dtype)


def winograd_weight(weight: Tensor, form: Winograd, dtype: torch.dtype) -> Tensor:
    """[O, I, 3, 3] fp32 to the [P, I, O] that ``winograd_conv2d`` takes, P the points of a tile."""
    outputs, inputs = weight.shape[:2]
    taps = weight.permute(2, 3, 1, 0).reshape(9, -1)
    return (_both_axes(form.weights, weight.dtype) @ taps).to(dtype).view(-1, inputs, outputs)


def winograd_conv2d(x: Tensor, weight: Tensor, form: Winograd) -> Tensor:
    """Convolution of one picture on the CPU, without padding.

    Args:
        x: [1, I, H + 2, W + 2], H and W multiples of the step.
        weight: [P, I, O] of ``winograd_weight``.

    Returns:
        [1, O, H, W], channels-last.
    """
    x = x.permute(0, 2, 3, 1).contiguous()
    _, height, width, inputs = x.shape
    side, step = len(form.inputs), len(form.outputs)
    down, across = (height - 2) // step, (width - 2) // step
    # Tiles overlap: position in the tile, then the tile, then the channel.
    tiles = x.as_strided(
        (side, side, down, across, inputs), (width * inputs, inputs, step * width * inputs, step * inputs, 1)
    )
    points = _both_axes(form.inputs, x.dtype) @ tiles.reshape(side * side, -1)
    products = torch.bmm(points.view(-1, down * across, inputs), weight)
    y = _both_axes(form.outputs, x.dtype) @ products.view(len(weight), -1)
    y = y.view(step, step, down, across, -1).permute(2, 0, 3, 1, 4)
    return y.reshape(1, height - 2, width - 2, -1).permute(0, 3, 1, 2)
