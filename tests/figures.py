"""How far apart two tensors are."""

from __future__ import annotations

import math

from torch import Tensor


def decibels(ours: Tensor, theirs: Tensor, peak: float = 2.0) -> float:
    """PSNR; the peak is that of values in [-1, 1]. Infinite where both are equal."""
    error = (ours.double() - theirs.double()).square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)
