"""The few operations that a folded network consists of, each as its device does it fastest.

Every one has a plain path of public torch operators that gives the same numbers to rounding. Activations are
NCHW in shape and channels-last in memory where the device gains from it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...model.layers import SLOPE
from ..hardware import has_amx, leaky_conv2d

__all__ = [
    "leaky_scale",
    "memory_format",
    "transposed_conv2d",
    "upsample_rows",
]


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels-last where convolutions are written for it."""
    return torch.channels_last if device.type in ("cpu", "cuda", "xpu") else torch.contiguous_format


def leaky_scale(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Leaky ReLU of ``x * scale + bias``; scale [B, C] or [1, C], bias [C].

    For one image on the CPU this is a depthwise 1×1 convolution, the quickest such pass that torch has.
    """
    if len(scale) == 1 and x.device.type == "cpu":
        return leaky_conv2d(x, scale.view(-1, 1, 1, 1), bias, groups=x.shape[1])
    return F.leaky_relu_(torch.addcmul(bias.view(1, -1, 1, 1), x, scale[:, :, None, None]), SLOPE)


def transposed_conv2d(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Transposed 3×3 convolution of stride 2: a function from [B, I, H, W] to [B, O, 2H + 1, 2W + 1].

    Args:
        weight: [I, 3, 3, O].

    oneDNN's own does not use AMX. There, many channels are one matrix product for all nine taps and nine
    shifted additions; few are one 2×2 convolution that makes the four pixels of each step side by side.
    """
    if weight.device.type != "cpu" or weight.dtype == torch.float32 or not has_amx():
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


def upsample_rows(image: Tensor, first: int, last: int) -> Tensor:
    """Rows of ``layers.upsample``, from even to even: linear interpolation, with zeros beyond the border."""
    low, high, height = first // 2 - 1, last // 2 + 1, image.shape[2]
    inside = image[:, :, max(low, 0) : min(high, height)]
    framed = F.pad(inside, (1, 1, max(-low, 0), max(high - height, 0)))
    return F.interpolate(framed, scale_factor=2, mode="bilinear", align_corners=False)[..., 2:-2, 2:-2]
