"""Detail that the picture holds already stays; the network gives what the picture lacks.

The network's face tells what to look for. In the two finest octaves of a 256 px face, those that blur,
compression and small sizes take first, the input is compared with it: β = ⟨x, y⟩ / ⟨y, y⟩ in the coarser one
is how much of the network's detail the input has already, and the correlation in the finer one how much of
the input is that detail and not something else. Both are measured in luma over the middle of the face. Their
sum is *held*. On held-out portraits it is (docs/judgement.md): untouched 1.3 to 1.8, ×2 with JPEG 85 1.2
to 1.65, ×4 with noise and JPEG 60 0.75 to 1.23, ×8 0.28 to 0.7. Weights that minimise the squared error rise
with it from octave to octave; where they would cost sharpness the table below starts later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .bands import REST, middle, side_by_side, split

__all__ = [
    "KeptDetail",
    "blend_octaves",
    "fine_share",
    "finest_share",
    "keep_power",
    "keep_shares",
    "measure_held",
    "noise_share",
]

# An octave of the input counts from nothing at this much held to fully at _ALL_HELD; the key is its side.
_FROM = {256: 1.2, 128: 1.2, 64: 1.2, 32: 1.12, 16: 0.9, 8: 0.3, REST: -0.6}
# Of colours, which compression and small sizes take sooner, and of which the network knows more.
_COLOURS_FROM = {256: 1.2, 128: 1.2, 64: 1.2, 32: 1.05, 16: 0.9, 8: 0.4, REST: 0.0}
_ALL_HELD = 1.25
_FINE = 64  # octaves from this one on make a face look sharp
_POWER = (32, 16)  # octaves that are blended where the finest are the network's
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


def keep_shares(held: Tensor, before: Mapping[int, Tensor], *, colours: bool = False) -> dict[int, Tensor]:
    """For each octave the share of the input, scalars in [0, 1].

    Args:
        held: what ``measure_held`` gave.
        before: octaves of planes of the input, [C, s, s] each.
        colours: the planes are Cb and Cr, not luma.
    """
    shares = {}
    for side, octave in before.items():
        share = _rise(held, (_COLOURS_FROM if colours else _FROM)[side])
        if side >= _FINE:  # coarser ones hold far more than noise
            low, high = _NOISE
            share = share * ((high - noise_share(octave)) / (high - low)).clamp(0, 1)
        shares[side] = share
    return shares


def _rise(held: Tensor, start: float) -> Tensor:
    return ((held - start) / (_ALL_HELD - start)).clamp(0, 1)


def keep_power(
    blended: Mapping[int, Tensor],
    before: Mapping[int, Tensor],
    after: Mapping[int, Tensor],
    share: Tensor | float,
) -> dict[int, Tensor]:
    """Give the middle octaves of a blend the power that they have where the finest octaves come from.

    The mean of two estimates is smoother than either, and would look dull below detail that is sharp.

    Args:
        blended, before, after: octaves of luma, as ``blend_octaves`` takes and gives them.
        share: of the input in the finest octaves, in [0, 1].
    """

    def power(octave: Tensor) -> Tensor:
        return octave.square().mean()

    octaves = dict(blended)
    for side in _POWER:
        if side in octaves:
            wanted = torch.lerp(power(after[side]), power(before[side]), share)
            octaves[side] = octaves[side] * (wanted / power(octaves[side]).clamp(min=1e-12)).sqrt()
    return octaves


def finest_share(before: Tensor, after: Tensor) -> Tensor:
    """How far the finest octave is the input's alone, since a small network has next to nothing there.

    Args:
        before, after: the octaves of luma, [1, s, s].

    Returns:
        A scalar in [0, 1]: 0 where the network's has the input's power or more, 1 from twice that on, less
        what noise explains.
    """
    more = before.square().mean() / after.square().mean().clamp(min=1e-12) - 1
    low, high = _NOISE
    return more.clamp(0, 1) * ((high - noise_share(before)) / (high - low)).clamp(0, 1)


def fine_share(held: Tensor) -> Tensor:
    """How much of the finest octaves is the input's, but for its noise: a scalar in [0, 1]."""
    return _rise(held, _FROM[_FINE])


def blend_octaves(
    before: Mapping[int, Tensor], after: Mapping[int, Tensor], shares: Mapping[int, Tensor]
) -> dict[int, Tensor]:
    """Octaves of ``before`` by their shares, of ``after`` for the rest."""
    return {side: torch.lerp(after[side], before[side], shares[side]) for side in before}
