"""Terms that compare pixels and need no network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ...images import ycbcr

__all__ = ["Chroma", "Pixel"]


class Pixel(nn.Module):
    """L1: the mean absolute difference."""

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        return F.l1_loss(restored, truth)


class Chroma(nn.Module):
    """L1 between the slopes of Cb and Cr (BT.601) of both.

    A network that is trained for sharp images tends to draw coloured outlines, which the other terms hardly
    notice. Colour changes slowly nearly everywhere, so this term is easy to satisfy.
    """

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        difference = (ycbcr(restored) - ycbcr(truth))[:, 1:]
        down = difference[..., 1:, :] - difference[..., :-1, :]
        right = difference[..., :, 1:] - difference[..., :, :-1]
        return down.abs().mean() + right.abs().mean()
