"""Pictures, and measures without any weights."""

from __future__ import annotations

import pytest
from torch import Tensor

from gpen_nodes.evaluation.measures import Measure, Measures
from gpen_nodes.evaluation.metrics import psnr, ssim


@pytest.fixture(scope="session")
def faces(astronaut) -> list[Tensor]:
    """Eleven parts of the portrait, [64, 64, 3]."""
    return [astronaut[60 + 4 * k : 124 + 4 * k, 180:244] for k in range(11)]


@pytest.fixture
def plain_measures() -> Measures:
    def of(metric):
        return lambda picture, truth: metric(picture, truth).item()

    return Measures((Measure("PSNR (dB)", "higher", of(psnr)), Measure("SSIM", "higher", of(ssim))))
