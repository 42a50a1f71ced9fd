"""Colour from the picture: the network decides on luma, the input on Cb and Cr.

A blurred input has pale colours in its middle octaves, which the network knows better. They are taken from it
only as far as its colours agree with the input's at a scale that blur leaves alone: not at all on gray and
toned pictures. What is finer than 1/64 of a face is never the network's: there its colours are contours that
no photo has (leaving them out gains 0.3 to 1 dB in Cb and Cr on held-out portraits).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .bands import middle
from .detail import blend_octaves, keep_shares

__all__ = ["KeptColour", "judge_colour"]

_COMPARED = 8  # the octave of details between 1/16 and 1/8 of a crop: cheeks, lips, eye sockets
_AGREES = (0.1, 0.8)  # of the network's colours that the picture has: from nothing lent to all
_FINE = 64  # octaves from this one on are never the network's
# Colours of the input are broken if in this octave they have this much more power than the network's and
# correlate less than so much: blotches of compression and of high sensitivity, which the network smooths.
# There its colours are 1 to 1.6 dB nearer to the truth. Sound colours have 0.05 to 0.7 of its power, or up
# to 2.5 where the input is sharp; so a sharp input's colours are never called broken.
_BLOTCHES, _TOO_STRONG, _UNLIKE, _SHARP = 32, 1.5, 0.8, 1.25


@dataclass(frozen=True)
class KeptColour:
    """Where a face's colours came from.

    Attributes:
        source: "picture" or "model".
        agreement: how much of the network's colour the picture has, in [0, 1].
        broken: whether the picture's colours were found broken.
    """

    source: str
    agreement: float
    broken: bool

    def __str__(self) -> str:
        if self.source == "picture":
            return "colours are the picture's"
        return "colours are the model's" + (", the picture's are broken" if self.broken else "")


def judge_colour(
    before: Mapping[int, Tensor], after: Mapping[int, Tensor], held: Tensor, colour: str = "auto"
) -> tuple[dict[int, Tensor], KeptColour]:
    """Cb and Cr of the picture, without its noise; middle octaves of the network where blur has taken them.

    Args:
        before, after: octaves of Cb and Cr, [2, s, s] each, of a crop of 64 px or more.
        held: what ``measure_held`` gave.
        colour: "picture", "model", or "auto": the picture's unless they are broken.

    Returns:
        Octaves, and what was decided. Of the picture's, they are exactly gray where the input is.
    """
    _, yy, xy = _products(before[_COMPARED], after[_COMPARED])
    low, high = _AGREES
    agreement = ((xy / yy - low) / (high - low)).clamp(0, 1)
    xx, yy, xy = _products(before[_BLOTCHES], after[_BLOTCHES])
    broken = (xx > _TOO_STRONG * yy) & (xy < _UNLIKE * (xx * yy).sqrt()) & (held < _SHARP)
    share, is_broken = torch.stack([agreement, broken.to(agreement)]).tolist()
    source = colour if colour != "auto" else "model" if is_broken else "picture"
    decision = KeptColour(source, share, bool(is_broken))
    if source == "model":
        return dict(after), decision
    shares = keep_shares(held, before, colours=True)
    for side, share in shares.items():
        if side < _FINE:
            shares[side] = 1 - agreement * (1 - share)
    lent = {side: octave * (side < _FINE) for side, octave in after.items()}
    return blend_octaves(before, lent, shares), decision


def _products(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """⟨x, x⟩, ⟨y, y⟩ and ⟨x, y⟩ over the middle, in the same units; ⟨y, y⟩ is not 0."""
    x, y = middle(before), middle(after)
    return (x * x).mean(), (y * y).mean().clamp(min=1e-9), (x * y).mean()
