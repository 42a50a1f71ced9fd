"""The picture's own grain on what the network made smooth."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .bands import split
from .detail import noise_share

__all__ = ["grain"]

_GRAINY = 64  # octaves from this one on hold grain; coarser ones are the face


def grain(before: Mapping[int, Tensor], shares: Mapping[int, Tensor], side: int) -> dict[int, Tensor]:
    """Grain as strong as the picture's in each fine octave, where the picture's own was not kept.

    It is drawn anew, always alike for one size of crop: the picture's cannot be told from its detail.

    Args:
        before: octaves of the input's luma, [1, s, s] each.
        shares: how much of the input is in the restored face already, as ``keep_shares`` gives it.
        side: of the crop.

    Returns:
        Octaves to be added to the restored face's.
    """
    generator = torch.Generator().manual_seed(0)  # on the CPU: the same on every device
    drawn = split(torch.randn(1, side, side, generator=generator))
    octaves = {}
    for key, octave in before.items():
        if key >= _GRAINY:
            noise = drawn[key].to(octave)
            power = noise_share(octave) * octave.square().mean()
            octaves[key] = noise / noise.std() * power.sqrt() * (1 - shares[key])
        else:
            octaves[key] = torch.zeros_like(octave)
    return octaves
