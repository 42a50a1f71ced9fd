"""Both encoders for inference: the image to a style code, and features by rows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model.encoders import ConvEncoder, EncoderStage, ResNetEncoder
from ...model.layers import FIR, GAIN
from ..hardware import leaky_conv2d
from .bands import MARGIN, Make, Rows, Stream, band_rows, empty_map, padded, stored
from .kernels import memory_format

__all__ = ["FoldedConvEncoder", "FoldedResNetEncoder", "fold_encoder"]

MADE_AGAIN = 1024  # pixels: from this size on the second finest features are computed twice, not held whole


class FoldedConvEncoder(nn.Module):
    """``ConvEncoder`` with its scales in the weights; the finest features are made by rows when asked for."""

    fir: Tensor

    def __init__(self, encoder: ConvEncoder, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.to_style = copy.deepcopy(encoder.to_style).requires_grad_(False)
        self.register_buffer("fir", torch.tensor(FIR, dtype=dtype, device=encoder.to_style.weight.device))
        self.stages = len(encoder.stages)
        for k, stage in enumerate(cast("Sequence[EncoderStage]", encoder.stages)):
            weight = (stage.weight * (stage.scale * GAIN)).to(dtype)
            self.register_buffer(f"weight{k}", weight.contiguous(memory_format=memory_format(weight.device)))
            self.register_buffer(f"bias{k}", (stage.bias * GAIN).to(dtype))

    def forward(self, image: Tensor, check: Callable[[], None]) -> tuple[Tensor, dict[int, Rows]]:
        weight, bias = self._stage(0)

        def finest(first: int, last: int) -> Tensor:
            rows = image[:, :, first:last].to(self.dtype, memory_format=memory_format(image.device))
            return leaky_conv2d(rows, weight, bias)

        size, x = image.shape[-1], finest
        features: dict[int, Rows] = {size: x}
        for k in range(1, self.stages):
            make, band = self._down(k, x, size, check)
            size //= 2
            shape = (len(image), len(self._stage(k)[0]), size, size)
            if k == 1 and band < size >= MADE_AGAIN:
                x = Stream(shape, weight, make, band)
                features[size] = Stream(shape, weight, make, band, behind=MARGIN)
            else:
                x = features[size] = stored(_whole(shape, weight, make, band))
        # Flattened in NCHW order whatever the memory format.
        return self.to_style(x(0, size).float().contiguous().flatten(1)), features

    def _stage(self, k: int) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"weight{k}"), self.get_buffer(f"bias{k}")

    def _down(self, k: int, x: Rows, size: int, check: Callable[[], None]) -> tuple[Make, int]:
        """Low-pass and stride-2 convolution of a map of ``size`` rows, and how many rows to make at once."""
        weight, bias = self._stage(k)
        inputs = weight.shape[1]
        fir = self.fir.expand(inputs, 1, 4, 4)

        def make(first: int, last: int) -> tuple[Tensor, ...]:
            check()
            part = padded(x, 2 * first - 2, 2 * last + 2, size)
            part = F.conv2d(part, fir, padding=(0, 2), groups=inputs)
            return (leaky_conv2d(part, weight, bias, stride=2),)

        return make, band_rows(size // 2, 4 * inputs * size * weight.element_size(), weight.device)


def _whole(shape: tuple[int, ...], like: Tensor, make: Make, band: int) -> Tensor:
    height = shape[2]
    if band == height:
        return make(0, height)[0]
    whole = empty_map(shape, like)
    for first in range(0, height, band):
        whole[:, :, first : first + band] = make(first, first + band)[0]
    return whole


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
        return code.float(), {size: stored(feature) for size, feature in features.items()}


_FOLDED: dict[type[nn.Module], Callable[[Any, torch.dtype], nn.Module]] = {
    ConvEncoder: FoldedConvEncoder,
    ResNetEncoder: FoldedResNetEncoder,
}


def fold_encoder(encoder: nn.Module, dtype: torch.dtype) -> nn.Module:
    """An encoder for inference: image and a check for interrupts to style code and {resolution: rows}."""
    return _FOLDED[type(encoder)](encoder, dtype)
