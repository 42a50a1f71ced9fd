"""Figures against another implementation, and against pictures whose figures a person can work out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from gpen_nodes.evaluation.metrics import colour_energy, gradient_energy, luma_energy, psnr, ssim, true_detail


@pytest.fixture
def faces(astronaut):
    """Two parts of the portrait, [2, 3, 96, 96]."""
    picture = astronaut.permute(2, 0, 1)
    return torch.stack((picture[:, 60:156, 170:266], picture[:, 300:396, 100:196]))


def noisy(faces, sigma):
    noise = torch.randn(faces.shape, generator=torch.Generator().manual_seed(0))
    return (faces + sigma * noise).clamp(0, 1)


def test_psnr_is_that_of_scikit_image(faces):
    metrics = pytest.importorskip("skimage.metrics")
    changed = noisy(faces, 0.05)
    changed[1] = 0.5 * faces[1]
    expected = [
        metrics.peak_signal_noise_ratio(truth.double().numpy(), other.double().numpy(), data_range=1)
        for truth, other in zip(faces, changed, strict=True)
    ]
    assert psnr(changed, faces).tolist() == pytest.approx(expected, abs=1e-6)
    assert abs(expected[0] - expected[1]) > 1  # so the two are not mixed up


@given(
    seed=st.integers(0, 999), height=st.integers(11, 40), width=st.integers(11, 40), sigma=st.floats(0, 0.5)
)
def test_ssim_is_that_of_scikit_image(seed, height, width, sigma):
    """In Wang's setting: Gaussian windows, and variances of the whole window rather than of a sample."""
    metrics = pytest.importorskip("skimage.metrics")
    chance = torch.Generator().manual_seed(seed)
    truth = torch.rand(2, 3, height, width, generator=chance, dtype=torch.float64)
    other = (truth + sigma * torch.randn(truth.shape, generator=chance)).clamp(0, 1)
    expected = [
        metrics.structural_similarity(
            a.numpy(),
            b.numpy(),
            channel_axis=0,
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(truth, other, strict=True)
    ]
    assert ssim(other, truth).tolist() == pytest.approx(expected, abs=1e-6)


def test_figures_of_equal_pictures(faces):
    assert psnr(faces, faces).tolist() == [math.inf, math.inf]
    assert ssim(faces, faces).tolist() == pytest.approx([1, 1], abs=1e-12)


def test_gradient_energy_by_hand():
    picture = torch.tensor([[0.0, 1.0, 1.0], [0.5, 0.5, 0.0]]).expand(1, 3, 2, 3)
    down = (0.25 + 0.25 + 1) / 3  # of the three columns
    right = (1 + 0 + 0 + 0.25) / 4  # of two pairs in each of two rows
    assert gradient_energy(picture).tolist() == pytest.approx([down + right])


def test_blur_takes_gradient_energy_and_noise_adds_some(faces):
    blurred = F.avg_pool2d(faces, 3, 1, padding=1, count_include_pad=False)
    own = gradient_energy(faces)
    assert own.shape == (2,)
    assert (gradient_energy(blurred) < own).all()
    assert (gradient_energy(noisy(faces, 0.05)) > own).all()
    assert (gradient_energy(torch.full_like(faces, 0.3)) == 0).all()


def test_luma_and_colour_are_those_of_jpeg(faces):
    """Pillow's conversion, which is libjpeg's, rounds to 8 bits."""
    image = pytest.importorskip("PIL.Image")
    noise = noisy(faces, 0.2)
    planes = []
    for picture in (noise, faces):
        pixels = (picture * 255).round().byte().permute(0, 2, 3, 1).numpy()
        ycbcr = [torch.from_numpy(np.array(image.fromarray(p).convert("YCbCr"))) for p in pixels]
        planes.append(torch.stack(ycbcr).permute(0, 3, 1, 2) / 255)
    ours, theirs = planes
    luma = gradient_energy(ours[:, :1]) / gradient_energy(theirs[:, :1])
    colour = gradient_energy(ours[:, 1:]) / gradient_energy(theirs[:, 1:])
    detail = 1 - gradient_energy((ours - theirs)[:, :1]) / gradient_energy(theirs[:, :1])
    assert luma_energy(noise, faces).tolist() == pytest.approx(luma.tolist(), rel=0.02)
    assert colour_energy(noise, faces).tolist() == pytest.approx(colour.tolist(), rel=0.05)
    assert true_detail(noise, faces).tolist() == pytest.approx(detail.tolist(), rel=0.02)
