"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

__all__ = ["Ema"]

Model = TypeVar("Model", bound=nn.Module)


class Ema(Generic[Model]):
    """Holds ``model``, a frozen copy that follows the trained network."""

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, model: Model, step: int) -> None:
        """Move towards ``model``. The first steps move faster, so that the random start is soon forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for ours, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            ours.lerp_(theirs, 1 - decay)
