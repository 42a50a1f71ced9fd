"""Feature maps by rows: large ones are made and used in bands that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .kernels import memory_format

__all__ = ["MARGIN", "Make", "Rows", "Stream", "band_rows", "empty_map", "padded", "stored"]

# Of the widest tensor in a band: it fits into the cache, and malloc does not map new pages for it each time.
BAND_BYTES = 8 << 20
# Rows by which the first band is longer. The next level's filters reach a little beyond the band that they
# make: with this margin those rows are there already, and no further band has to be made for them. Four rows
# are also one whole Winograd tile.
MARGIN = 4

Rows = Callable[[int, int], Tensor]
"""Rows from a first to a last (exclusive) of a feature map, [B, C, last - first, W]."""

Make = Callable[[int, int], tuple[Tensor, ...]]
"""The same in pieces that lie side by side in the channels."""


def stored(feature: Tensor) -> Rows:
    """Rows of a map that is held whole, [B, C, H, W]."""
    return lambda first, last: feature[:, :, first:last]


def padded(x: Rows, first: int, last: int, height: int) -> Tensor:
    """Rows of a map of ``height``, with zeros where they lie beyond it."""
    low, high = max(first, 0), min(last, height)
    inside = x(low, high)
    if (low, high) == (first, last):
        return inside
    whole = F.pad(inside, (0, 0, low - first, last - high))
    return whole.contiguous(memory_format=memory_format(whole.device))


def band_rows(height: int, row_bytes: int, device: torch.device) -> int:
    """Rows in a band, a power of two; all of them where there is no cache to stay in."""
    band = height
    if device.type == "cpu":
        while band > 8 and band * row_bytes > BAND_BYTES:
            band //= 2
    return band


def empty_map(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """[B, C, H, W] to be filled, in another's dtype and in its device's memory format."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory_format(like.device))


class Stream:
    """``Rows`` of a map that are made in bands from the top, held while they are needed, then forgotten.

    Args:
        shape: of the whole map, [B, C, H, W].
        like: dtype and device.
        make: what it is made of; called once for each row.
        band: rows that are made at once; the first band has ``MARGIN`` more.
        border: rows and columns of zeros around the map. Rows are numbered from the map's own first one.
        behind: how many rows above those of a call are kept as well, for a second reader that lags behind.

    Callers go down the map: a call may begin no earlier than the one before, less ``behind``.
    """

    def __init__(
        self,
        shape: Sequence[int],
        like: Tensor,
        make: Make,
        band: int = 1,
        border: int = 0,
        behind: int = 0,
    ) -> None:
        self._make, self._band, self._border, self._behind = make, band, border, behind
        self._height, self._end = shape[2], shape[2] + border
        self._first = self._last = -border
        self._held = empty_map((shape[0], shape[1], 0, shape[3] + 2 * border), like)

    def __call__(self, first: int, last: int) -> Tensor:
        if last > self._last:
            self._extend(max(first - self._behind, self._first), self._band_end(last))
        return self._held[:, :, first - self._first : last - self._first]

    def drain(self) -> None:
        """Make all rows that are left and keep none: for the side effects of ``make``."""
        while self._last < self._end:
            first, self._last = self._last, self._band_end(self._last + 1)
            self._make(first, self._last)

    def _band_end(self, last: int) -> int:
        bands = max(-(-(last - MARGIN) // self._band), 1)
        return min(MARGIN + bands * self._band, self._end)

    def _extend(self, first: int, last: int) -> None:
        # Rows that are no longer needed are freed before ``make`` takes memory for its own inputs.
        self._held = self._held[:, :, first - self._first :].clone()
        low, high = max(self._last, 0), min(last, self._height)
        pieces = self._make(low, high)
        kept, (batch, channels, count, width) = self._held, self._held.shape
        self._held = held = empty_map((batch, channels, last - first, width), kept)
        self._first, self._last = first, last
        held[:, :, :count] = kept
        held[:, :, count : low - first].zero_()
        held[:, :, high - first :].zero_()
        left, right = self._border, width - self._border
        made = held[:, :, low - first : high - first]
        made[:, :, :, :left].zero_()
        made[:, :, :, right:].zero_()
        torch.cat(pieces, dim=1, out=made[:, :, :, left:right])
        if last == self._end:
            del self._make  # The weights and features that it holds are no longer needed.
