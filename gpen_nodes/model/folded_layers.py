"""The generator's layers, their scales in their weights: ``bind`` one to a style, then ask it for rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .bands import Rows, padded, stored
from .kernels import (
    leaky_conv2d,
    leaky_scale,
    memory_format,
    transposed_conv2d,
    winograd_conv2d,
    winograd_weight,
)
from .layers import FIR, GAIN, SLOPE, EqualLinear, ModulatedConv, StyledConv, ToRgb

__all__ = ["FoldedConv", "FoldedToRgb", "FoldedUpConv"]

WINOGRAD = range(32, 257)  # pixels; above, the transforms cost more than they save
SCALE_WEIGHTS = 128  # pixels: from here on a layer has fewer weights than activations, and styles scale those


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
    """A style to what a layer's channels are multiplied with: inputs [B, I] and outputs [B, O], fp32."""

    energy: Tensor

    def __init__(self, conv: ModulatedConv) -> None:
        super().__init__()
        self.linear = FoldedLinear(conv.modulation)
        energy = (conv.weight[0] * conv.scale).square().sum(dim=(2, 3))
        self.register_buffer("energy", energy.t().contiguous())

    def forward(self, style: Tensor) -> tuple[Tensor, Tensor]:
        inputs = self.linear(style)
        outputs = torch.rsqrt(inputs.square() @ self.energy + 1e-8) * GAIN
        # At most 1 before the convolution and made up for behind it, so that fp16 does not overflow.
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
        if self.concat:  # The convolution has been activated on its way.
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
        self.has_tiles = dtype == torch.float32 and size in WINOGRAD
        self._tiles: Tensor | None = None

    def _apply(self, *args: Any, **kwargs: Any) -> FoldedConv:
        self._tiles = None  # It is the CPU's, and made again where it is needed.
        return super()._apply(*args, **kwargs)

    def bind(self, style: Tensor) -> Callable[[Tensor], Tensor]:
        """For one style: [B, I, H + 2, W] to [B, O, H, W]. Only the columns are padded."""
        inputs, outputs = self.modulation(style)
        if self.has_tiles and self.weight.device.type == "cpu":
            if self._tiles is None:
                self._tiles = winograd_weight(self.weight)
            if self.scale_weight:
                tiles = self._tiles * inputs.view(1, -1, 1)
                return lambda x: self._finish(winograd_conv2d(x, tiles), outputs)
            tiles, inputs = self._tiles, inputs[:, :, None, None]
            return lambda x: self._finish(winograd_conv2d(x * inputs, tiles), outputs)
        if len(style) > 1 or not self.scale_weight:
            weight, inputs = self.weight.to(self.dtype), inputs.to(self.dtype)[:, :, None, None]
            return lambda x: self._finish(F.conv2d(x * inputs, weight, padding=(0, 1)), outputs)
        weight = (self.weight * inputs[:, :, None, None] * outputs.view(-1, 1, 1, 1)).to(self.dtype)
        if self.concat:
            return lambda x: leaky_conv2d(x, weight, self.bias, padding=(0, 1))
        return lambda x: F.conv2d(x, weight, padding=(0, 1))


class FoldedUpConv(FoldedStyledConv):
    """A transposed 3×3 convolution of stride 2 and the low-pass, on which all that follows rides."""

    fir: Tensor

    def __init__(self, layer: StyledConv, size: int, dtype: torch.dtype) -> None:
        super().__init__(layer, dtype)
        weight = (layer.conv.weight[0] * layer.conv.scale).permute(1, 2, 3, 0).contiguous()
        self.scale_weight = size >= SCALE_WEIGHTS
        self.register_buffer("weight", weight if self.scale_weight else weight.to(dtype))
        self.register_buffer("fir", 4 * torch.tensor(FIR, device=weight.device))

    def bind(self, style: Tensor, x: Tensor) -> Rows:
        """For one style and [B, I, H, W]: rows of [B, O, 2H, 2W]."""
        inputs, outputs = self.modulation(style)
        weight, groups = self.weight, len(self.bias)
        if len(style) == 1 and self.scale_weight:
            weight = (weight * inputs.view(-1, 1, 1, 1)).to(self.dtype)
        else:
            weight, x = weight.to(self.dtype), x * inputs.to(self.dtype)[:, :, None, None]
        transposed = transposed_conv2d(weight)
        ride = len(style) == 1
        fir = (self.fir * outputs[0].view(-1, 1, 1, 1) if ride else self.fir.expand(groups, 1, 4, 4)).to(
            self.dtype
        )

        def up(first: int, last: int) -> Tensor:
            # Output row i is low-passed from rows i - 1 to i + 2 of y; row j of y is made of rows j // 2 of x
            # and, for even j, the one before.
            low, high = (first - 2) // 2, (last + 1) // 2 + 1
            y = transposed(padded(stored(x), low, high, x.shape[2]))
            start = first - 1 - 2 * low
            y = y[:, :, start : start + last - first + 3]
            if ride and self.concat:
                return leaky_conv2d(y, fir, self.bias, padding=(0, 1), groups=groups)
            y = F.conv2d(y, fir, padding=(0, 1), groups=groups)
            return y if ride else self._finish(y, outputs)

        return up


class FoldedToRgb(nn.Module):
    """A modulated 1×1 convolution to three channels as a matrix product; its sum is fp32."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: ToRgb, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.modulation = FoldedLinear(layer.conv.modulation)
        self.register_buffer("weight", (layer.conv.weight[0, :, :, 0, 0] * layer.conv.scale).t().contiguous())
        self.register_buffer("bias", layer.bias.view(3))

    def bind(self, style: Tensor) -> Callable[[tuple[Tensor, ...]], Tensor]:
        """For one style: the pieces of a layer's channels, [B, C, H, W] each, to [B, H, W, 3]."""
        weight = (self.weight * self.modulation(style)[:, :, None]).to(self.dtype)

        def to_rgb(pieces: tuple[Tensor, ...]) -> Tensor:
            rgb, first = self.bias, 0
            for piece in pieces:
                batch, channels, height, width = piece.shape
                pixels = piece.permute(0, 2, 3, 1).reshape(batch, -1, channels)
                part = torch.bmm(pixels, weight[:, first : first + channels])
                rgb, first = rgb + part.view(batch, height, width, 3), first + channels
            return rgb

        return to_rgb
