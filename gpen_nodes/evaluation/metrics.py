"""Figures that compare a restored image with the true one: pure functions on [B, C, H, W] in [0, 1]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..images import ycbcr

__all__ = ["chroma_energy", "colour_energy", "gradient_energy", "luma_energy", "psnr", "ssim", "true_detail"]

_NO_DETAIL = 1e-8  # of gradient energy: less is rounding, as in a gray image's colours


def psnr(restored: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, [B] float64; infinite where the two are equal."""
    error = (restored.double() - truth.double()).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error)


def ssim(restored: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of each image, [B] float64 in [-1, 1]; of colours, the mean of the channels.

    Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004): Gaussian
    windows of σ 1.5, 11 px wide, K1 0.01, K2 0.03, where they lie inside the image.

    Args:
        restored, truth: at least 11 px wide and high.
    """
    x, y = restored.double(), truth.double()
    means, others = _windows(x), _windows(y)
    variance_x = _windows(x * x) - means**2
    variance_y = _windows(y * y) - others**2
    covariance = _windows(x * y) - means * others
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * means * others + c1) / (means**2 + others**2 + c1)
    return (luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)).mean(dim=(1, 2, 3))


def _windows(x: Tensor) -> Tensor:
    """Gaussian-weighted mean of every 11×11 window."""
    taps = torch.exp(-((torch.arange(11, dtype=x.dtype, device=x.device) - 5) ** 2) / (2 * 1.5**2))
    taps = (taps / taps.sum()).expand(x.shape[1], 1, -1)
    x = F.conv2d(x, taps[..., None], groups=x.shape[1])
    return F.conv2d(x, taps[..., None, :], groups=x.shape[1])


def gradient_energy(image: Tensor) -> Tensor:
    """Mean squared difference between neighbouring pixels, both directions, of each image: [B].

    A blurred image has less of it than its truth, a noisy one more.
    """
    down = image[..., 1:, :] - image[..., :-1, :]
    right = image[..., :, 1:] - image[..., :, :-1]
    return down.square().mean(dim=(1, 2, 3)) + right.square().mean(dim=(1, 2, 3))


def luma_energy(restored: Tensor, truth: Tensor) -> Tensor:
    """Gradient energy of Y as a share of the truth's, [B]; NaN where the truth has none."""
    return _share(ycbcr(restored)[:, :1], ycbcr(truth)[:, :1])


def chroma_energy(image: Tensor) -> Tensor:
    """Gradient energy of Cb and Cr, [B]."""
    return gradient_energy(ycbcr(image)[:, 1:])


def colour_energy(restored: Tensor, truth: Tensor) -> Tensor:
    """Gradient energy of Cb and Cr as a share of the truth's, [B]; NaN where the truth has no colour."""
    return _share(ycbcr(restored)[:, 1:], ycbcr(truth)[:, 1:])


def true_detail(restored: Tensor, truth: Tensor) -> Tensor:
    """1 − |∇a − ∇t|² / |∇t|² of Y, [B], at most 1: how much of the truth's detail is there and in its place.

    A flat image has 0; detail that the truth does not have, such as noise, takes away as much as it adds
    to the gradient energy. NaN where the truth has no detail.
    """
    ours, theirs = ycbcr(restored)[:, :1], ycbcr(truth)[:, :1]
    energy = gradient_energy(theirs)
    return torch.where(energy > _NO_DETAIL, 1 - gradient_energy(ours - theirs) / energy, math.nan)


def _share(ours: Tensor, theirs: Tensor) -> Tensor:
    energy = gradient_energy(theirs)
    return torch.where(energy > _NO_DETAIL, gradient_energy(ours) / energy, math.nan)
