"""Terms that compare pixels and need no network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...images import ycbcr

__all__ = ["Chroma", "Pixel", "Sharpness", "local_sharpness"]


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


class Sharpness(nn.Module):
    """L1 between the local sharpness of both."""

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        return F.l1_loss(local_sharpness(restored), local_sharpness(truth))


def local_sharpness(image: Tensor, window: int = 16) -> Tensor:
    """Root mean square difference between neighbouring pixels, [B, 1, H // window, W // window].

    L1 alone gives the median of all plausible faces, which is blurred. This term tells the network how much
    detail a window has; where the detail belongs is left to L1.
    """
    down = image[..., 1:, :-1] - image[..., :-1, :-1]
    right = image[..., :-1, 1:] - image[..., :-1, :-1]
    energy = (down.square() + right.square()).mean(dim=1, keepdim=True)
    return torch.sqrt(F.avg_pool2d(F.pad(energy, (0, 1, 0, 1)), window) + 1e-5)  # finite slope at 0
