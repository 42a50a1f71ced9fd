"""Detail that the picture holds already stays; the network gives what the picture lacks.

The network's face tells what to look for. In the two finest octaves of a 256 px face, those that blur,
compression and small sizes take first, the input is compared with it: β = ⟨x, y⟩ / ⟨y, y⟩ in the coarser one
is how much of the network's detail the input has already, and the correlation in the finer one how much of
the input is that detail and not something else. Both are measured in luma over the middle of the face. Their
sum is *held*. On held-out portraits it is (mean, range): untouched 1.6 (1.4 to 1.7), ×2 with JPEG 85 1.4
(1.25 to 1.5), ×4 with noise and JPEG 60 1.06 (0.9 to 1.2), ×8 0.5 (0.4 to 0.8), restored once before 1.4 to
1.7. Weights that minimise the squared error rise with it from octave to octave as the table below has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .bands import REST, middle, side_by_side, split

__all__ = ["KeptDetail", "blend_octaves", "keep_shares", "measure_held", "noise_share"]

# An octave of the input counts from nothing at this much held to fully at _ALL_HELD; the key is its side.
_FROM = {256: 1.1, 128: 1.1, 64: 1.1, 32: 0.75, 16: 0.5, 8: 0.0, REST: -0.6}
_ALL_HELD = 1.3
# Noise power as a share of an octave's: up to the first it counts fully, from the second on not at all.
_NOISE = (0.3, 0.9)
_MEASURED_AT = 256  # pixels


@dataclass(frozen=True)
class KeptDetail:
    """How much of a face's detail came from the picture.

    Attributes:
        held: how much of the network's detail the picture held, from 0 (none) to about 1.6 (all and more).
        kept: share of the finest octaves that is the picture's own, in [0, 1].
    """

    held: float
    kept: float

    def __str__(self) -> str:
        if self.kept > 0.9:
            return "the picture's own detail was kept"
        if self.kept < 0.1:
            return "its detail is the model's"
        return f"{self.kept:.0%} of its detail is the picture's own"


def measure_held(before: Tensor, after: Tensor) -> Tensor:
    """How much of the restored face's detail the input holds.

    Args:
        before, after: [S, S, 3] in [0, 1].

    Returns:
        A scalar on the crops' device, as the head of this file explains it; 2 where the network adds nothing.
    """
    x, y = (split(planes[:1]) for planes in side_by_side(before, after, _MEASURED_AT))
    (beta, _), (_, correlation) = (_likeness(middle(x[side]), middle(y[side])) for side in (64, 128))
    return beta + correlation


def _likeness(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """⟨x, y⟩ / ⟨y, y⟩, and the correlation; both 1 where there is nothing in y."""
    xx, yy, xy = (x * x).mean(), (y * y).mean(), (x * y).mean()
    nothing = yy < 1e-9  # 0.01 of 255
    return (
        torch.where(nothing, 1, xy / yy.clamp(min=1e-12)),
        torch.where(nothing, 1, xy / (xx * yy).sqrt().clamp(min=1e-12)),
    )


def noise_share(octave: Tensor) -> Tensor:
    """Share of an octave's power [1, S, S] that noise explains, in [0, 1].

    Noise is everywhere, detail is not: the quietest fifth of small patches has little but noise. 0.72 of the
    mean power is what that quantile gives for white noise.
    """
    inner = middle(octave).square()
    patches = F.avg_pool2d(inner, 4) if inner.shape[-1] >= 16 else inner
    return (patches.flatten().quantile(0.2) / 0.72 / inner.mean().clamp(min=1e-12)).clamp(0, 1)


def keep_shares(held: Tensor, before: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """For each octave the share of the input, scalars in [0, 1].

    Args:
        held: what ``measure_held`` gave.
        before: octaves of one plane of the input, [1, s, s] each.
    """
    shares = {}
    for side, octave in before.items():
        share = ((held - _FROM[side]) / (_ALL_HELD - _FROM[side])).clamp(0, 1)
        if side >= 64:  # coarser ones hold far more than noise
            low, high = _NOISE
            share = share * ((high - noise_share(octave)) / (high - low)).clamp(0, 1)
        shares[side] = share
    return shares


def blend_octaves(
    before: Mapping[int, Tensor], after: Mapping[int, Tensor], shares: Mapping[int, Tensor]
) -> dict[int, Tensor]:
    """Octaves of ``before`` by their shares, of ``after`` for the rest."""
    return {side: torch.lerp(after[side], before[side], shares[side]) for side in before}
