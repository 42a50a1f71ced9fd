"""Feature maps by rows: large ones are made and used in bands that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from .kernels import memory_format

__all__ = ["Rows", "bands", "empty_map", "padded", "stored"]

BAND_BYTES = 16 << 20  # of the widest tensor in a band: in cache, and below where malloc maps pages anew

Rows = Callable[[int, int], Tensor]
"""Rows from a first to a last (exclusive) of a feature map, [B, C, last - first, W]."""


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


def bands(height: int, row_bytes: int, device: torch.device) -> Iterator[tuple[int, int]]:
    """Equal bands of rows, a power of two each; one band where there is no cache to stay in."""
    band = height
    if device.type == "cpu":
        while band > 8 and band * row_bytes > BAND_BYTES:
            band //= 2
    return pairwise(range(0, height + 1, band))


def empty_map(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """[B, C, H, W] to be filled, in another's dtype and in its device's memory format."""
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory_format(like.device))
