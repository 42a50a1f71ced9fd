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
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from .bands import Rows, bands, empty_map, padded, stored
from .encoders import ConvEncoder
from .folded_encoders import FoldedConvEncoder, FoldedResNetEncoder
from .folded_layers import FoldedConv, FoldedToRgb, FoldedUpConv
from .kernels import memory_format, upsample_rgb
from .layers import StyledConv, ToRgb
from .network import Gpen

__all__ = ["FoldedGpen", "fold"]


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
                features[size] = stored(Gpen.noise(width, size, like=image).to(self.dtype))
        style = self.mapper(code)
        x, rgb = self.start.expand(len(image), -1, -1, -1), None
        for level in cast("Sequence[Level]", self.levels):
            keep = level.size < self.config.size
            x, rgb = level(x, rgb, style, features.pop(level.size), check, keep=keep)
        return cast("Tensor", rgb)


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
        source = self.up.bind(style, x) if self.up is not None else stored(x)
        conv, to_rgb = self.conv.bind(style), self.to_rgb.bind(style)
        batch, channels = len(x), self.to_rgb.weight.shape[0]
        wide = empty_map((batch, channels, self.size, self.size), like=x) if keep else x
        picture = style.new_zeros((batch, 3, self.size, self.size)) if rgb is None else upsample_rgb(rgb)
        widest = channels * (2 if self.conv.has_tiles else 1)  # Winograd's tiles overlap
        for first, last in bands(self.size, widest * self.size * x.element_size(), x.device):
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
            return padded(source, first, last, self.size)
        check()
        low, high = max(first, 0), min(last, self.size)
        pieces = self.up.inject(source(low, high), feature(low, high))
        batch, channels = len(pieces[0]), sum(piece.shape[1] for piece in pieces)
        z = empty_map((batch, channels, last - first, self.size), like=pieces[0])
        z[:, :, : low - first] = 0
        z[:, :, high - first :] = 0
        torch.cat(pieces, dim=1, out=z[:, :, low - first : high - first])
        return z
