"""Figures against another implementation, and against pictures whose figures a person can work out."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from gpen_nodes.evaluation.metrics import gradient_energy, psnr


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
        metrics.peak_signal_noise_ratio(truth.numpy(), other.numpy(), data_range=1)
        for truth, other in zip(faces, changed, strict=True)
    ]
    assert psnr(changed, faces).tolist() == pytest.approx(expected, abs=1e-4)
    assert abs(expected[0] - expected[1]) > 1  # so the two are not mixed up


def test_psnr_of_equal_pictures_is_infinite(faces):
    assert psnr(faces, faces).tolist() == [math.inf, math.inf]


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
