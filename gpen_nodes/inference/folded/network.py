"""``fold``: a trained network as a frozen one for inference, faster and in less memory.

The same function, written for speed:

- All scales, gains and the low-pass filter's gain are multiplied into weights once. A face's style scales the
  weights where they are fewer than the activations, else the activations.
- Styles, demodulation and the sum of the images stay in fp32 whatever the rest computes in.
- Levels run in bands of rows that stay in the processor's cache. Each draws the rows that it needs from the
  one before: no large level is ever held whole. The encoder's finest two are computed again from the image.
- On the CPU, Winograd's transform replaces 3×3 convolutions where channels are many.

``tests/inference/test_fold.py`` holds it to the module at 100 dB and more.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model import Gpen
from ...model.layers import StyledConv, ToRgb
from .bands import Rows, Stream, band_rows, padded, stored
from .encoders import fold_encoder
from .kernels import memory_format, upsample_rows
from .layers import FoldedConv, FoldedToRgb, FoldedUpConv

__all__ = ["FoldedGpen", "fold"]


def fold(
    module: Gpen, dtype: torch.dtype = torch.float32, check: Callable[[], None] = lambda: None
) -> FoldedGpen:
    """Freeze a network for inference on the device that it is on.

    Args:
        module: not changed; its weights are copied.
        dtype: of convolutions and activations: float32, bfloat16 or float16.
        check: called before each part, of a second in all; what it raises ends it.
    """
    with torch.no_grad():
        return FoldedGpen(module, dtype, check).eval()


class FoldedGpen(nn.Module):
    """[B, 3, input_size, input_size] float32 in [-1, 1] to [B, 3, size, size] float32, not clamped.

    Its constants are buffers: a host may move and measure it as any module.
    """

    start: Tensor

    def __init__(self, module: Gpen, dtype: torch.dtype, check: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        check()
        self.config, self.dtype = module.config, dtype
        encoder, generator = module.encoder, module.generator
        self.encoder = fold_encoder(encoder, dtype)
        self.mapper = copy.deepcopy(module.mapper).requires_grad_(False)
        start = generator.input.input.to(dtype)
        self.register_buffer("start", start.contiguous(memory_format=memory_format(start.device)))
        self.levels = nn.ModuleList([Level(4, None, generator.conv1, generator.to_rgb1, dtype)])
        convs = cast("Sequence[StyledConv]", generator.convs)
        for k, to_rgb in enumerate(cast("Sequence[ToRgb]", generator.to_rgbs)):
            check()
            self.levels.append(Level(2 ** (k + 3), convs[2 * k], convs[2 * k + 1], to_rgb, dtype))

    @torch.no_grad()
    def forward(self, image: Tensor, check: Callable[[], None] = lambda: None) -> Tensor:
        """Restore; ``check`` is called many times on the way and may raise to stop."""
        if len(image) > 1 and image.device.type == "cpu":
            # A batch gains nothing here, and only in a single image is a band of rows contiguous in memory.
            return torch.cat([self(one, check) for one in image.split(1)])
        check()
        code, features = self.encoder(image, check)
        for size, width in self.config.widths.items():
            if size > self.config.input_size:
                features[size] = stored(self._noise(width, size).expand(len(image), -1, -1, -1))
        style = self.mapper(code)
        x, rgb = stored(self.start.expand(len(image), -1, -1, -1)), None
        for level in cast("Sequence[Level]", self.levels):
            x, rgb = level.bind(x, rgb, style, features.pop(level.size), check)
        cast("Stream", x).drain()
        return cast("Tensor", rgb)

    def _noise(self, width: int, size: int) -> Tensor:
        """[1, width, size, size]. Devices keep what was copied to them; the CPU draws it for each face."""
        name = f"noise{size}"
        if name in self._buffers:
            return self.get_buffer(name)
        noise = Gpen.noise(width, size, like=self.start)
        if noise.device.type != "cpu":
            self.register_buffer(name, noise, persistent=False)
        return noise

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> FoldedGpen:
        if fn(self.start).device != self.start.device:
            for name in [name for name in self._buffers if name.startswith("noise")]:
                delattr(self, name)
        return super()._apply(fn, *args, **kwargs)


class Level(nn.Module):
    """All layers at one size: features and image of half that size in, those of this size out."""

    def __init__(
        self, size: int, up: StyledConv | None, conv: StyledConv, to_rgb: ToRgb, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.size = size
        self.up = FoldedUpConv(up, size, dtype) if up is not None else None
        self.conv = FoldedConv(conv, size, dtype)
        self.to_rgb = FoldedToRgb(to_rgb, dtype)

    def bind(
        self,
        x: Rows,
        smaller: Tensor | None,
        style: Tensor,
        feature: Rows,
        check: Callable[[], None],
    ) -> tuple[Stream, Tensor]:
        """The level's features by rows, and its RGB image [B, 3, size, size] fp32.

        A row of the image is filled when the same row of the features is made.
        """
        size, channels = self.size, self.to_rgb.weight.shape[0]
        like = style.to(self.conv.dtype)
        z = self._input(x, style, like, feature, check)
        conv, add_rgb = self.conv.bind(style), self.to_rgb.bind(style)
        rgb = style.new_empty((len(style), 3, size, size))

        def make(first: int, last: int) -> tuple[Tensor, ...]:
            check()
            pieces = self.conv.inject(conv(z(first - 1, last + 1)), feature(first, last))
            rows = rgb[:, :, first:last]
            # These rows of the smaller image are filled: making the pieces has made its features.
            rows.zero_() if smaller is None else rows.copy_(upsample_rows(smaller, first, last))
            add_rgb(pieces, rows)
            return pieces

        row_bytes = channels * size * like.element_size()
        if size >= 1024 and like.dtype == torch.float32:
            row_bytes *= 2  # Half as many rows: 3 % slower, but what all levels hold adds up to 50 MB less.
        band = band_rows(size, row_bytes, style.device)
        return Stream((len(style), channels, size, size), like, make, band), rgb

    def _input(self, x: Rows, style: Tensor, like: Tensor, feature: Rows, check: Callable[[], None]) -> Rows:
        """What the second convolution sees, with zeros around it."""
        size = self.size
        if self.up is None:
            return lambda first, last: F.pad(padded(x, first, last, size), (1, 1))
        up, inject = self.up.bind(style, x, size // 2), self.up.inject

        def make(first: int, last: int) -> tuple[Tensor, ...]:
            check()
            return inject(up(first, last), feature(first, last))

        shape = (len(style), self.conv.weight.shape[1], size, size)
        z = Stream(shape, like, make, border=1)
        # One row more than is asked for: transposed convolutions waste less where bands end at even rows.
        return lambda first, last: z(first, min(last + 1, size + 1))[:, :, : last - first]
