"""Figures that compare a restored picture with the true one: pure functions on [B, C, H, W] in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["gradient_energy", "psnr"]


def psnr(restored: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in dB, [B]; infinite where the two are equal."""
    error = (restored - truth).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error)


def gradient_energy(image: Tensor) -> Tensor:
    """Mean squared difference between neighbouring pixels, both directions, of each picture: [B].

    A blurred picture has less of it than its truth, a noisy one more.
    """
    down = image[..., 1:, :] - image[..., :-1, :]
    right = image[..., :, 1:] - image[..., :, :-1]
    return down.square().mean(dim=(1, 2, 3)) + right.square().mean(dim=(1, 2, 3))
