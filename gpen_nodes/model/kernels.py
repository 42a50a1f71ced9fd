"""The few operations that a folded network consists of, each as its device does it fastest.

Every one has a plain path of public torch operators that gives the same numbers to rounding. Activations are
NCHW in shape and channels-last in memory where the device gains from it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import SLOPE

__all__ = [
    "has_fused_conv2d",
    "leaky_conv2d",
    "leaky_scale",
    "memory_format",
    "transposed_conv2d",
    "upsample_rgb",
    "winograd_conv2d",
    "winograd_weight",
]


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels-last where convolutions are written for it."""
    return torch.channels_last if device.type in ("cpu", "cuda", "xpu") else torch.contiguous_format


@cache
def has_fused_conv2d() -> bool:
    """Whether oneDNN's convolution with an activation on its output is there: a private operator of torch."""
    with contextlib.suppress(Exception):  # Missing, renamed or with other arguments: all mean no.
        x = torch.zeros(1, 1, 1, 1)
        torch.ops.mkldnn._convolution_pointwise(
            x, x, x.view(1), [0, 0], [1, 1], [1, 1], 1, "leaky_relu", [SLOPE], ""
        )
        return torch.backends.mkldnn.is_available()
    return False


def leaky_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    groups: int = 1,
) -> Tensor:
    """Convolution, bias and leaky ReLU in one pass over memory where oneDNN can."""
    if x.device.type == "cpu" and x.dtype != torch.float16 and has_fused_conv2d():
        pads, strides = list(padding), [stride, stride]
        return torch.ops.mkldnn._convolution_pointwise(
            x, weight, bias, pads, strides, [1, 1], groups, "leaky_relu", [SLOPE], ""
        )
    y = F.conv2d(x, weight, bias, stride=stride, padding=padding, groups=groups)
    return F.leaky_relu_(y, SLOPE)


def leaky_scale(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Leaky ReLU of ``x * scale + bias``; scale [B, C] or [1, C], bias [C].

    For one picture on the CPU this is a depthwise 1×1 convolution, the quickest such pass that torch has.
    """
    if len(scale) == 1 and x.device.type == "cpu":
        return leaky_conv2d(x, scale.view(-1, 1, 1, 1), bias, groups=x.shape[1])
    return F.leaky_relu_(torch.addcmul(bias.view(1, -1, 1, 1), x, scale[:, :, None, None]), SLOPE)


def transposed_conv2d(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Transposed 3×3 convolution of stride 2: a function from [B, I, H, W] to [B, O, 2H + 1, 2W + 1].

    Args:
        weight: [I, 3, 3, O].

    oneDNN's own is slow in bf16. There, many channels are one matrix product for all nine taps and nine
    shifted additions; few are one 2×2 convolution that makes the four pixels of each step side by side.
    """
    if weight.device.type != "cpu" or weight.dtype == torch.float32:
        direct = weight.permute(0, 3, 1, 2).contiguous(memory_format=memory_format(weight.device))
        return lambda x: F.conv_transpose2d(x, direct, stride=2)
    return _taps_added(weight) if weight.shape[3] >= 256 else _pixels_side_by_side(weight)


def _taps_added(weight: Tensor) -> Callable[[Tensor], Tensor]:
    inputs, _, _, outputs = weight.shape

    def conv(x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        taps = x.permute(0, 2, 3, 1).reshape(-1, inputs) @ weight.reshape(inputs, -1)
        taps = taps.view(batch, height, width, 3, 3, outputs)
        y = taps.new_zeros((batch, 2 * height + 1, 2 * width + 1, outputs))
        for i in range(3):
            for j in range(3):
                y[:, i : i + 2 * height : 2, j : j + 2 * width : 2] += taps[:, :, :, i, j]
        return y.permute(0, 3, 1, 2)

    return conv


def _pixels_side_by_side(weight: Tensor) -> Callable[[Tensor], Tensor]:
    inputs, _, _, outputs = weight.shape
    # Pixel (2m + i, 2n + j) sees, of rows m - 1 and m, taps 2 and 0 if i is 0, and tap 1 of row m if it is 1.
    pixels = weight.new_zeros((2, 2, outputs, inputs, 2, 2))
    taps = ((0, 0, 2), (0, 1, 0), (1, 1, 1))  # i, which of the two rows, tap; the same for columns
    for i, row, tap_y in taps:
        for j, column, tap_x in taps:
            pixels[i, j, :, :, row, column] = weight[:, tap_y, tap_x].t()
    pixels = pixels.view(4 * outputs, inputs, 2, 2).contiguous(memory_format=torch.channels_last)

    def conv(x: Tensor) -> Tensor:
        y = F.conv2d(x, pixels, padding=1).permute(0, 2, 3, 1)
        batch, height, width, _ = y.shape
        y = y.reshape(batch, height, width, 2, 2, outputs).transpose(2, 3)
        y = y.reshape(batch, 2 * height, 2 * width, outputs).permute(0, 3, 1, 2)
        return y[:, :, :-1, :-1]

    return conv


# Winograd's F(4×4, 3×3) as in Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016).
_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_WEIGHT = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))


def _both_axes(matrix: tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    m = torch.tensor(matrix, dtype=like.dtype, device=like.device)
    return torch.kron(m, m)


def winograd_weight(weight: Tensor) -> Tensor:
    """[O, I, 3, 3] to the [36, I, O] that ``winograd_conv2d`` takes."""
    outputs, inputs = weight.shape[:2]
    taps = weight.double().permute(2, 3, 1, 0).reshape(9, -1)
    return (_both_axes(_WEIGHT, taps) @ taps).view(36, inputs, outputs).to(weight.dtype)


def winograd_conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """3×3 convolution with a quarter of the multiplications, for fp32; pads the columns, not the rows.

    Args:
        x: [1, I, H + 2, W], H and W multiples of 4.
        weight: [36, I, O] of ``winograd_weight``.

    Returns:
        [1, O, H, W].
    """
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1))
    _, height, width, inputs = x.shape
    down, across = (height - 2) // 4, (width - 2) // 4
    # Tiles of 6×6 that overlap by two: position in the tile, then the tile, then the channel.
    tiles = x.as_strided(
        (6, 6, down, across, inputs), (width * inputs, inputs, 4 * width * inputs, 4 * inputs, 1)
    )
    tiles = _both_axes(_INPUT, x) @ tiles.reshape(36, -1)
    products = torch.bmm(tiles.view(36, down * across, inputs), weight)
    y = (_both_axes(_OUTPUT, x) @ products.view(36, -1)).view(4, 4, down, across, -1)
    return y.permute(2, 0, 3, 1, 4).reshape(1, 4 * down, 4 * across, -1).permute(0, 3, 1, 2)


def upsample_rgb(rgb: Tensor) -> Tensor:
    """``layers.upsample`` as what it is: linear interpolation, with zeros beyond the border."""
    padded = F.pad(rgb, (1, 1, 1, 1))
    return F.interpolate(padded, scale_factor=2, mode="bilinear", align_corners=False)[..., 2:-2, 2:-2]
