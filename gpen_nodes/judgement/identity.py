"""Identity guard: a restored face has to be the person that its input shows.

Both are compared by a face embedding after shrinking them to a size that even the input's blur leaves alone:
64 px where it holds enough, 32 px else. Of held-out people, restored from ×2, ×4 and ×8, the least alike had
a cosine of 0.99, 0.92 and 0.85 there; with somebody else's eyes pasted in, the most alike had 0.78, 0.79 and
0.87; somebody else's whole face, 0.54, 0.54 and 0.67 (docs/judgement.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .bands import resized

__all__ = ["KeptIdentity", "guard_identity"]

Embed = Callable[[Tensor], Tensor]
"""[1, 3, S, S] RGB in [0, 1] of aligned faces to [1, D] of length 1."""

_HOLDS_ENOUGH = 0.9  # of ``measure_held``
_SCALES = {64: 0.83, 32: 0.84}  # side in pixels: least cosine
_STRENGTHS = (1.0, 0.75, 0.5, 0.25)


@dataclass(frozen=True)
class KeptIdentity:
    """Whether a restored face is still the person of the picture.

    Attributes:
        found: cosine of the face as the network restored it, in [-1, 1].
        used: cosine at the strength that was chosen.
        least: what is expected.
        strength: how much of the restored face is used, in [0, 1]; 0 leaves the face as it is.
    """

    found: float
    used: float
    least: float
    strength: float

    def __str__(self) -> str:
        if self.strength == 1:
            return f"the same person ({self.found:.2f})"
        said = f"unlike the person before ({self.found:.2f}, expected {self.least:.2f})"
        return said + (f", strength lowered to {self.strength:g}" if self.strength else "")


def guard_identity(before: Tensor, after: Tensor, held: Tensor, embed: Embed) -> tuple[Tensor, KeptIdentity]:
    """Lower a restored face's strength until it is the person of the input.

    Args:
        before, after: [S, S, 3] in [0, 1].
        held: what ``measure_held`` gave.
        embed: of aligned faces.

    Returns:
        The face [S, S, 3], which is ``before`` where no strength passed, and what was decided.
    """
    scale = 64 if bool(held >= _HOLDS_ENOUGH) else 32
    least = _SCALES[scale]
    person = _embedded(before, scale, embed)
    found = None
    for strength in _STRENGTHS:
        face = torch.lerp(before, after, strength)
        cosine = (_embedded(face, scale, embed) * person).sum().item()
        found = cosine if found is None else found
        if cosine >= least:
            return face, KeptIdentity(found, cosine, least, strength)
    assert found is not None
    return before, KeptIdentity(found, 1.0, least, 0.0)


def _embedded(face: Tensor, scale: int, embed: Embed) -> Tensor:
    planes = face.permute(2, 0, 1)
    shrunk = resized(resized(planes, min(scale, planes.shape[-1])), planes.shape[-1])
    return embed(shrunk[None].clamp(0, 1))
