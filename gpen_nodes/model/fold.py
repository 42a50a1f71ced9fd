"""``fold``: a trained network as a frozen one for inference, faster and in less memory.

The same function, written for speed:

- All scales, gains and the low-pass filter's gain are multiplied into weights once. A face's style scales the
  weights where they are fewer than the activations, else the activations.
- Styles, demodulation and the sum of the pictures stay in fp32 whatever the rest computes in.
- Large levels run in bands of rows that stay in the processor's cache. The finest level is never held: its
  encoder features are computed again from the picture for each band.
- In fp32 on the CPU, Winograd's transform replaces 3×3 convolutions from 32 to 256 px.

``tests/model/test_fold.py`` holds it to the module at 100 dB and more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .encoders import ConvEncoder, EncoderStage, ResNetEncoder
from .kernels import (
    join_rows,
    leaky_conv2d,
    leaky_scale,
    memory_format,
    pad_rows,
    transposed_conv2d,
    upsample_rgb,
    winograd_conv2d,
    winograd_weight,
)
from .layers import FIR, GAIN, SLOPE, ModulatedConv, StyledConv, ToRgb
from .network import Gpen

__all__ = ["FoldedGpen", "fold"]

BAND_BYTES = 16 << 20  # of the widest tensor in a band: in cache, and below where malloc maps pages anew
WINOGRAD = range(32, 257)  # pixels; above, the transforms cost more than they save
SCALE_WEIGHTS = 128  # pixels: from here on a layer has fewer weights than activations, and styles scale those

Rows = Callable[[int, int], Tensor]
"""Rows from a first to a last (exclusive) of a feature map, [B, C, last - first, W]."""


def fold(module: Gpen, dtype: torch.dtype = torch.float32) -> FoldedGpen:
    """Freeze a network for inference on the device that it is on.

    Args:
        module: not changed; its weights are copied.
        dtype: of convolutions and activations: float32, bfloat16 or float16.
    """
    with torch.no_grad():
        return FoldedGpen(module, dtype).eval()


class FoldedGpen(nn.Module):
    """[B, 3, input_size, input_size] float32 in [-1, 1] to [B, 3, size, size] float32, not clamped.

    Its constants are buffers: a host may move and measure it as any module.
    """

    start: Tensor

    def __init__(self, module: Gpen, dtype: torch.dtype) -> None:
        super().__init__()
        self.config, self.dtype = module.config, dtype
        encoder, generator = module.encoder, module.generator
        folded = FoldedConvEncoder if isinstance(encoder, ConvEncoder) else FoldedResNetEncoder
        self.encoder = folded(cast("Any", encoder), dtype)
        self.mapper = copy.deepcopy(module.mapper).requires_grad_(False)
        start = generator.input.input.to(dtype)
        self.register_buffer("start", start.contiguous(memory_format=memory_format(start.device)))
        self.levels = nn.ModuleList([Level(4, None, generator.conv1, generator.to_rgb1, dtype)])
        convs = cast("Sequence[StyledConv]", generator.convs)
        for k, to_rgb in enumerate(cast("Sequence[ToRgb]", generator.to_rgbs)):
            self.levels.append(Level(2 ** (k + 3), convs[2 * k], convs[2 * k + 1], to_rgb, dtype))

    @torch.no_grad()
    def forward(self, image: Tensor, check: Callable[[], None] = lambda: None) -> Tensor:
        """Restore; ``check`` is called many times on the way and may raise to stop."""
        if len(image) > 1 and image.device.type == "cpu":
            # A batch gains nothing, and bands of rows are whole pieces of memory in one picture alone.
            return torch.cat([self(one, check) for one in image.split(1)])
        check()
        code, features = self.encoder(image, check)
        for size, width in self.config.widths.items():
            if size > self.config.input_size:
                features[size] = _stored(Gpen.noise(width, size, like=image).to(self.dtype))
        style = self.mapper(code)
        x, rgb = self.start.expand(len(image), -1, -1, -1), None
        for level in cast("Sequence[Level]", self.levels):
            keep = level.size < self.config.size
            x, rgb = level(x, rgb, style, features.pop(level.size), check, keep=keep)
        return cast("Tensor", rgb)


def _stored(feature: Tensor) -> Rows:
    return lambda first, last: feature[:, :, first:last]


def _padded(x: Rows, first: int, last: int, height: int) -> Tensor:
    """Rows of a map of ``height``, with zeros where they lie beyond it."""
    inside = max(first, 0), min(last, height)
    return pad_rows(x(*inside), inside[0] - first, last - inside[1])


def _bands(height: int, row_bytes: int, device: torch.device) -> Iterator[tuple[int, int]]:
    """Equal bands of rows, a power of two each; one band where there is no cache to stay in."""
    band = height
    if device.type == "cpu":
        while band > 8 and band * row_bytes > BAND_BYTES:
            band //= 2
    return pairwise(range(0, height + 1, band))


class FoldedConvEncoder(nn.Module):
    """``ConvEncoder`` with its scales in the weights; the finest features are made of rows of the picture."""

    def __init__(self, encoder: ConvEncoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.to_style = copy.deepcopy(encoder.to_style).requires_grad_(False)
        self.stages = len(encoder.stages)
        for k, stage in enumerate(cast("Sequence[EncoderStage]", encoder.stages)):
            weight = (stage.weight * (stage.scale * GAIN)).to(dtype)
            self.register_buffer(f"weight{k}", weight.contiguous(memory_format=memory_format(weight.device)))
            self.register_buffer(f"bias{k}", (stage.bias * GAIN).to(dtype))

    def forward(self, image: Tensor, check: Callable[[], None]) -> tuple[Tensor, dict[int, Rows]]:
        image = image.to(self.dtype).contiguous(memory_format=memory_format(image.device))
        weight, bias = self._stage(0)
        x: Rows = lambda first, last: leaky_conv2d(image[:, :, first:last], weight, bias)  # noqa: E731
        size = image.shape[-1]
        features: dict[int, Rows] = {size: x}
        for k in range(1, self.stages):
            x = _stored(self._down(k, x, size, check))
            size //= 2
            features[size] = x
        # Flattened in NCHW order whatever the memory format.
        return self.to_style(x(0, size).float().contiguous().flatten(1)), features

    def _stage(self, k: int) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"weight{k}"), self.get_buffer(f"bias{k}")

    def _down(self, k: int, x: Rows, size: int, check: Callable[[], None]) -> Tensor:
        """Low-pass and stride-2 convolution of a map of ``size`` rows, band by band."""
        weight, bias = self._stage(k)
        inputs = weight.shape[1]
        fir = torch.tensor(FIR, dtype=weight.dtype, device=weight.device).expand(inputs, 1, 4, 4)
        parts = []
        for first, last in _bands(size // 2, 4 * inputs * size * weight.element_size(), weight.device):
            check()
            part = _padded(x, 2 * first - 2, 2 * last + 2, size)
            part = F.conv2d(part, fir, padding=(0, 2), groups=inputs)
            parts.append(leaky_conv2d(part, weight, bias, stride=2))
        return join_rows(parts)


class FoldedResNetEncoder(nn.Module):
    """The bundle's encoder as it is, in another dtype."""

    def __init__(self, encoder: ResNetEncoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        encoder = copy.deepcopy(encoder).requires_grad_(False).to(dtype)
        self.trunk = encoder.to(memory_format=memory_format(encoder.conv1.weight.device))

    def forward(self, image: Tensor, check: Callable[[], None]) -> tuple[Tensor, dict[int, Rows]]:
        image = image.to(self.dtype).contiguous(memory_format=memory_format(image.device))
        code, features = self.trunk(image)
        return code.float(), {size: _stored(feature) for size, feature in features.items()}


class Modulation(nn.Module):
    """A style to what a layer's channels are multiplied with: inputs [B, I] and outputs [B, O], fp32."""

    weight: Tensor
    bias: Tensor
    energy: Tensor

    def __init__(self, conv: ModulatedConv, gain: float) -> None:
        super().__init__()
        linear = conv.modulation
        self.gain = gain
        self.register_buffer("weight", linear.weight * linear.scale)
        self.register_buffer("bias", linear.bias * linear.lr_multiplier)
        self.register_buffer(
            "energy", (conv.weight[0] * conv.scale).square().sum(dim=(2, 3)).t().contiguous()
        )

    def forward(self, style: Tensor) -> tuple[Tensor, Tensor]:
        inputs = F.linear(style, self.weight, self.bias)
        outputs = torch.rsqrt(inputs.square() @ self.energy + 1e-8) * self.gain
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
        self.modulation = Modulation(layer.conv, GAIN)
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
        ride = len(style) == 1
        transposed = transposed_conv2d(weight)
        fir = (self.fir * outputs[0].view(-1, 1, 1, 1) if ride else self.fir.expand(groups, 1, 4, 4)).to(
            self.dtype
        )

        def up(first: int, last: int) -> Tensor:
            # Output row i is low-passed from rows i - 1 to i + 2 of y; row j of y is made of rows j // 2 of x
            # and, for even j, the one before.
            low, high = (first - 2) // 2, (last + 1) // 2 + 1
            y = transposed(_padded(_stored(x), low, high, x.shape[2]))
            start = first - 1 - 2 * low
            y = y[:, :, start : start + last - first + 3]
            if ride and self.concat:
                return leaky_conv2d(y, fir, self.bias, padding=(0, 1), groups=groups)
            y = F.conv2d(y, fir, padding=(0, 1), groups=groups)
            return y if ride else self._finish(y, outputs)

        return up


class FoldedToRgb(nn.Module):
    """A modulated 1×1 convolution to three channels as a matrix product; its sum is fp32."""

    modulation: Tensor
    modulation_bias: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, layer: ToRgb, dtype: torch.dtype) -> None:
        super().__init__()
        linear = layer.conv.modulation
        self.dtype = dtype
        self.register_buffer("modulation", linear.weight * linear.scale)
        self.register_buffer("modulation_bias", linear.bias * linear.lr_multiplier)
        self.register_buffer("weight", (layer.conv.weight[0, :, :, 0, 0] * layer.conv.scale).t().contiguous())
        self.register_buffer("bias", layer.bias.view(3))

    def bind(self, style: Tensor) -> Callable[[tuple[Tensor, ...]], Tensor]:
        """For one style: the pieces of a layer's channels, [B, C, H, W] each, to [B, H, W, 3]."""
        inputs = F.linear(style, self.modulation, self.modulation_bias)
        weight = (self.weight * inputs[:, :, None]).to(self.dtype)

        def to_rgb(pieces: tuple[Tensor, ...]) -> Tensor:
            rgb, first = self.bias, 0
            for piece in pieces:
                batch, channels, height, width = piece.shape
                pixels = piece.permute(0, 2, 3, 1).reshape(batch, -1, channels)
                part = torch.bmm(pixels, weight[:, first : first + channels])
                rgb, first = rgb + part.view(batch, height, width, 3), first + channels
            return rgb

        return to_rgb


class Level(nn.Module):
    """All layers at one size: features and picture of half that size in, those of this size out."""

    def __init__(
        self, size: int, up: StyledConv | None, conv: StyledConv, to_rgb: ToRgb, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.size = size
        self.up = FoldedUpConv(up, size, dtype) if up is not None else None
        self.conv = FoldedConv(conv, size, dtype)
        self.to_rgb = FoldedToRgb(to_rgb, dtype)

    def forward(
        self,
        x: Tensor,
        rgb: Tensor | None,
        style: Tensor,
        feature: Rows,
        check: Callable[[], None],
        *,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        """Next features, unless ``keep`` is false, and the picture [B, 3, size, size] fp32."""
        source = self.up.bind(style, x) if self.up is not None else _stored(x)
        conv, to_rgb = self.conv.bind(style), self.to_rgb.bind(style)
        batch, channels = len(x), self.to_rgb.weight.shape[0]
        wide = _empty_like(x, (batch, channels, self.size, self.size)) if keep else x
        picture = style.new_zeros((batch, 3, self.size, self.size)) if rgb is None else upsample_rgb(rgb)
        widest = channels * (2 if self.conv.has_tiles else 1)  # Winograd's tiles overlap
        for first, last in _bands(self.size, widest * self.size * x.element_size(), x.device):
            check()
            z = self._input(source, feature, check, first - 1, last + 1)
            pieces = self.conv.inject(conv(z), feature(first, last))
            picture[:, :, first:last] += to_rgb(pieces).permute(0, 3, 1, 2)
            if keep:
                torch.cat(pieces, dim=1, out=wide[:, :, first:last])
        return wide, picture

    def _input(self, source: Rows, feature: Rows, check: Callable[[], None], first: int, last: int) -> Tensor:
        """Rows of what the second convolution sees, with zeros beyond the border."""
        if self.up is None:
            return _padded(source, first, last, self.size)
        check()
        low, high = max(first, 0), min(last, self.size)
        pieces = self.up.inject(source(low, high), feature(low, high))
        batch, channels = len(pieces[0]), sum(piece.shape[1] for piece in pieces)
        z = _empty_like(pieces[0], (batch, channels, last - first, self.size))
        z[:, :, : low - first] = 0
        z[:, :, high - first :] = 0
        torch.cat(pieces, dim=1, out=z[:, :, low - first : high - first])
        return z


def _empty_like(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format(x.device))
