"""The generator's layers, their scales in their weights: ``bind`` one to a style, then ask it for rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model.layers import FIR, GAIN, SLOPE, EqualLinear, ModulatedConv, StyledConv, ToRgb
from ..hardware import has_amx, leaky_conv2d
from .bands import Rows, padded
from .kernels import leaky_scale, memory_format, transposed_conv2d
from .winograd import F2, F4, Winograd, winograd_conv2d, winograd_weight

__all__ = ["FoldedConv", "FoldedToRgb", "FoldedUpConv"]

# Pixels: from this size on a layer has fewer weights than activations, so styles scale the weights.
SCALE_WEIGHTS = 128


def winograd_form(size: int, outputs: int, dtype: torch.dtype) -> Winograd | None:
    """The form that makes a 3×3 convolution faster on a CPU; None where channels or pixels are too few."""
    if dtype == torch.float32:
        return F4 if size >= 64 and outputs >= 64 else None
    if dtype == torch.bfloat16 and not has_amx():
        return F2 if size >= 32 and outputs >= 256 else None
    return None


class FoldedLinear(nn.Module):
    """``EqualLinear`` without activation."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: EqualLinear) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight * layer.scale)
        self.register_buffer("bias", layer.bias * layer.lr_multiplier)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Modulation(nn.Module):
    """From a style, the factors of a layer's channels, fp32: inputs' [B, I] and outputs' [B, O]."""

    energy: Tensor

    def __init__(self, conv: ModulatedConv) -> None:
        super().__init__()
        self.linear = FoldedLinear(conv.modulation)
        energy = (conv.weight[0] * conv.scale).square().sum(dim=(2, 3))
        self.register_buffer("energy", energy.t().contiguous())

    def forward(self, style: Tensor) -> tuple[Tensor, Tensor]:
        inputs = self.linear(style)
        outputs = torch.rsqrt(inputs.square() @ self.energy + 1e-8) * GAIN
        # At most 1 before the convolution, and corrected after it, so that fp16 does not overflow.
        largest = inputs.abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
        return inputs / largest, outputs * largest


class FoldedStyledConv(nn.Module):
    """What both kinds share: modulation before the convolution, the encoder's features after it."""

    weight: Tensor
    bias: Tensor
    feature_bias: Tensor
    feature_gain: Tensor

    def __init__(self, layer: StyledConv, dtype: torch.dtype) -> None:
        super().__init__()
        self.concat, self.dtype = layer.noise.concat, dtype
        self.modulation = Modulation(layer.conv)
        outputs = layer.conv.weight.shape[1]
        bias = (layer.activate.bias * GAIN).to(dtype)
        self.register_buffer("bias", bias[:outputs].clone())
        self.register_buffer("feature_bias", bias[-outputs:].clone())
        self.register_buffer("feature_gain", (layer.noise.weight * GAIN).to(dtype).expand(1, outputs).clone())

    def inject(self, y: Tensor, feature: Tensor) -> tuple[Tensor, ...]:
        """The convolution's output and the features, activated; together they are the layer's channels."""
        if self.concat:  # The convolution's part is activated already.
            return y, leaky_scale(feature, self.feature_gain, self.feature_bias)
        gain, bias = self.feature_gain[:, :, None, None], self.bias.view(1, -1, 1, 1)
        return (F.leaky_relu_(torch.addcmul(y + bias, feature, gain), SLOPE),)

    def _finish(self, y: Tensor, scale: Tensor) -> Tensor:
        """Demodulate; bias and activation too, unless features are still to be added."""
        scale = scale.to(self.dtype)
        return leaky_scale(y, scale, self.bias) if self.concat else y * scale[:, :, None, None]


class FoldedConv(FoldedStyledConv):
    """A 3×3 convolution at its input's size."""

    def __init__(self, layer: StyledConv, size: int, dtype: torch.dtype) -> None:
        super().__init__(layer, dtype)
        weight = layer.conv.weight[0] * layer.conv.scale
        weight = weight.contiguous(memory_format=memory_format(weight.device))
        self.scale_weight = size >= SCALE_WEIGHTS
        self.register_buffer("weight", weight if self.scale_weight else weight.to(dtype))
        self.form = winograd_form(size, len(weight), dtype)
        self._tiles: Tensor | None = None

    def _apply(self, *args: Any, **kwargs: Any) -> FoldedConv:
        weight = self.weight
        super()._apply(*args, **kwargs)
        if self.weight is not weight:
            self._tiles = None  # For the CPU only, where it is made again.
        return self

    def bind(self, style: Tensor) -> Callable[[Tensor], Tensor]:
        """For one style: [B, I, H + 2, W + 2] to [B, O, H, W]."""
        inputs, outputs = self.modulation(style)
        if self.form is not None and self.weight.device.type == "cpu":
            return self._bind_winograd(inputs, outputs, self.form)
        if len(style) > 1 or not self.scale_weight:
            weight, inputs = self.weight.to(self.dtype), inputs.to(self.dtype)[:, :, None, None]
            return lambda x: self._finish(F.conv2d(x * inputs, weight), outputs)
        weight = (self.weight * inputs[:, :, None, None] * outputs.view(-1, 1, 1, 1)).to(self.dtype)
        if self.concat:
            return lambda x: leaky_conv2d(x, weight, self.bias)
        return lambda x: F.conv2d(x, weight)

    def _bind_winograd(self, inputs: Tensor, outputs: Tensor, form: Winograd) -> Callable[[Tensor], Tensor]:
        if self.scale_weight:
            tiles = winograd_weight(self.weight * inputs.view(1, -1, 1, 1), form, self.dtype)
            return lambda x: self._finish(winograd_conv2d(x, tiles, form), outputs)
        if self._tiles is None:
            self._tiles = winograd_weight(self.weight.float(), form, self.dtype)
        tiles, inputs = self._tiles, inputs.to(self.dtype)[:, :, None, None]
        return lambda x: self._finish(winograd_conv2d(x * inputs, tiles, form), outputs)


class FoldedUpConv(FoldedStyledConv):
    """A transposed 3×3 convolution of stride 2, then the low-pass.

    For one face, demodulation is multiplied into the low-pass; bias and activation are part of its pass over
    memory.
    """

    fir: Tensor

    def __init__(self, layer: StyledConv, size: int, dtype: torch.dtype) -> None:
        super().__init__(layer, dtype)
        weight = (layer.conv.weight[0] * layer.conv.scale).permute(1, 2, 3, 0).contiguous()
        self.scale_weight = size >= SCALE_WEIGHTS
        self.register_buffer("weight", weight if self.scale_weight else weight.to(dtype))
        self.register_buffer("fir", 4 * torch.tensor(FIR, dtype=torch.float32, device=weight.device))

    def bind(self, style: Tensor, x: Rows, height: int) -> Rows:
        """For one style and rows of [B, I, height, W]: rows of [B, O, 2 height, 2W]."""
        inputs, outputs = self.modulation(style)
        weight, groups = self.weight, len(self.bias)
        if len(style) == 1 and self.scale_weight:
            weight, scaled = (weight * inputs.view(-1, 1, 1, 1)).to(self.dtype), x
        else:
            inputs = inputs.to(self.dtype)[:, :, None, None]
            weight, scaled = weight.to(self.dtype), lambda first, last: x(first, last) * inputs
        transposed = transposed_conv2d(weight)
        one_face = len(style) == 1
        fir = self.fir * outputs[0].view(-1, 1, 1, 1) if one_face else self.fir.expand(groups, 1, 4, 4)
        fir = fir.to(self.dtype)

        def up(first: int, last: int) -> Tensor:
            if whole := (first, last) == (0, 2 * height):
                y = transposed(scaled(0, height))
            else:
                # Output row i is low-passed from rows i - 1 to i + 2 of y; row j of y is made of rows j // 2
                # of x and, for even j, the one before.
                low, high = (first - 2) // 2, (last + 1) // 2 + 1
                y = transposed(padded(scaled, low, high, height))
                start = first - 1 - 2 * low
                y = y[:, :, start : start + last - first + 3]
            padding = (int(whole), 1)
            if one_face and self.concat:
                return leaky_conv2d(y, fir, self.bias, padding=padding, groups=groups)
            y = F.conv2d(y, fir, padding=padding, groups=groups)
            return y if one_face else self._finish(y, outputs)

        return up


class FoldedToRgb(nn.Module):
    """A modulated 1×1 convolution to three channels; its sum is fp32."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: ToRgb, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.modulation = FoldedLinear(layer.conv.modulation)
        self.register_buffer("weight", (layer.conv.weight[0, :, :, 0, 0] * layer.conv.scale).t().contiguous())
        self.register_buffer("bias", layer.bias.view(3))

    def bind(self, style: Tensor) -> Callable[[tuple[Tensor, ...], Tensor], None]:
        """For one style: add what a layer's channels show, pieces of [B, C, H, W], to [B, 3, H, W] fp32."""
        weight = (self.weight * self.modulation(style)[:, :, None]).to(self.dtype)

        def add_rgb(pieces: tuple[Tensor, ...], rows: Tensor) -> None:
            rows += self.bias.view(3, 1, 1)
            first = 0
            for piece in pieces:
                rows += _mix(piece, weight[:, first : first + piece.shape[1]])
                first += piece.shape[1]

        return add_rgb


def _mix(x: Tensor, weight: Tensor) -> Tensor:
    """A 1×1 convolution of [B, I, H, W] by weights of its own for each image, [B, I, O]."""
    if len(x) == 1:
        weight = weight[0].t()[:, :, None, None]
        return F.conv2d(x, weight.contiguous(memory_format=memory_format(x.device)))
    batch, channels, height, width = x.shape
    y = torch.bmm(x.permute(0, 2, 3, 1).reshape(batch, -1, channels), weight)
    return y.view(batch, height, width, -1).permute(0, 3, 1, 2)
