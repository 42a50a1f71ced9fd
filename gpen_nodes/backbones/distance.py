"""How far apart two pictures are in a network's features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["feature_distance"]


def feature_distance(ours: Sequence[Tensor], theirs: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Weighted sum over maps of mean |difference| / mean |truth|: of one size whatever a network's scale."""
    parts = [
        weight * F.l1_loss(our, their) / their.abs().mean().clamp_min(1e-6)
        for our, their, weight in zip(ours, theirs, weights, strict=True)
    ]
    return torch.stack(parts).sum()
