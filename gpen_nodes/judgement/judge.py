"""All judgements on one face, in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from .bands import SIDES, join, split, to_rgb, to_ycc
from .colour import KeptColour, judge_colour
from .detail import KeptDetail, blend_octaves, fine_share, finest_share, keep_power, keep_shares, measure_held
from .grain import grain as grain_of
from .identity import Embed, KeptIdentity, guard_identity
from .occlusion import contradiction

__all__ = ["SMALLEST", "Judgement", "judge_face"]

SMALLEST = 64
"""Side in pixels from which on a crop has octaves to judge by."""
_FINE = 64  # octaves from this one on make a face look sharp


@dataclass(frozen=True)
class Judgement:
    """What was decided on one face; None where a part was not asked for.

    Attributes:
        hidden: share of the face that something in front covers, in [0, 1].
    """

    colour: KeptColour | None = None
    detail: KeptDetail | None = None
    identity: KeptIdentity | None = None
    hidden: float | None = None

    @property
    def refused(self) -> str:
        """Why the face stays as it was, in plain English; empty if it need not."""
        return str(self.identity) if self.identity is not None and self.identity.strength == 0 else ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        said = [str(one) for one in (self.detail, self.colour, self.identity) if one is not None]
        if self.hidden is not None and self.hidden > 0.01:
            said.append(f"{self.hidden:.0%} of it lies behind something")
        return "; ".join(said)


@torch.no_grad()
def judge_face(
    before: Tensor,
    after: Tensor,
    *,
    colour: str = "auto",
    keep_detail: float = 1.0,
    grain: float = 0.0,
    in_front: bool = True,
    seen: Tensor | None = None,
    embed: Embed | None = None,
    check: Callable[[], object] = lambda: None,
) -> tuple[Tensor, Judgement]:
    """What a restored face should look like, given its input.

    Args:
        before: [S, S, 3] in [0, 1], the aligned input.
        after: [S, S, 3] in [0, 1], restored from it. Below 64 px it comes back as it is.
        colour: "picture", "model", or "auto": the picture's unless they are broken.
        keep_detail: how much of the detail that the picture holds already is kept, in [0, 1].
        grain: how much of the picture's grain the face gets back, in [0, 1].
        in_front: keep what the network can't have seen as a part of the face.
        seen: [1, S, S] in [0, 1], 0 where something else than the face is known to be; for ``in_front``.
        embed: for the identity guard; None leaves it out.
        check: called between the parts, each of which takes half a second of a face of 2048 px at most; what
            it raises ends them.

    Returns:
        The face [S, S, 3] in [0, 1], and what was decided. Equal crops come back as they are.
    """
    if before.shape[0] < SMALLEST:
        return after, Judgement()
    check()
    x, y = to_ycc(before), to_ycc(after)
    check()
    held = measure_held(before, after)
    check()
    luma, detail = _luma(x, y, held, keep_detail, grain)
    check()
    chroma, kept = judge_colour(split(x[1:]), split(y[1:]), held, colour)
    check()
    planes = torch.cat([join(luma), join(chroma)])
    hidden = None
    if in_front:
        counted = share = contradiction(x, y, kept.agreement)
        if seen is not None:
            share = torch.maximum(share, 1 - seen)
            around = share.shape[-1] // 4  # of the face lies what is in front of nothing
            counted = share[..., around:-around, around:-around]
        planes = torch.lerp(planes, x, share)
        hidden = counted.mean().item()
    check()
    face, identity = to_rgb(planes), None
    if embed is not None:
        face, identity = guard_identity(before, face, held, embed)
    return face, Judgement(kept, detail if keep_detail else None, identity, hidden)


def _luma(
    x: Tensor, y: Tensor, held: Tensor, keep_detail: float, grain: float
) -> tuple[dict[int, Tensor], KeptDetail]:
    before, after = split(x[:1]), split(y[:1])
    shares = keep_shares(held, before)
    if (finest := SIDES[0]) in shares:
        shares[finest] = torch.maximum(shares[finest], finest_share(before[finest], after[finest]))
    shares = {side: keep_detail * share for side, share in shares.items()}
    luma = blend_octaves(before, after, shares)
    if keep_detail:
        luma = keep_power(luma, before, after, keep_detail * fine_share(held))
    if grain:
        added = grain_of(before, shares, x.shape[-1])
        luma = {side: octave + grain * added[side] for side, octave in luma.items()}
    fine = [shares[side] for side in SIDES if side >= _FINE and side in shares]
    numbers = torch.stack([held, torch.stack(fine).mean() if fine else held.new_zeros(())])
    return luma, KeptDetail(*numbers.tolist())
