"""Random generators that depend on a run's seed and a number alone, so that a resumed run draws the same."""

from __future__ import annotations

import torch

__all__ = ["generator_for"]


def generator_for(seed: int, number: int) -> torch.Generator:
    """A generator on the CPU of its own for each number, apart from those of other seeds."""
    return torch.Generator().manual_seed(seed * 1_000_003 + number)
