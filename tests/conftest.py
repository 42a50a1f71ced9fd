"""Fixtures that several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The workshop's photos and detectors, which are no part of the repository."""
    here = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("GPEN_SHARED", here.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set GPEN_SHARED to the folder that holds data/")
    return folder


@pytest.fixture(scope="session")
def astronaut() -> Tensor:
    """NASA's portrait of Eileen Collins, [512, 512, 3] in [0, 1]: a real photo that is always at hand."""
    data = pytest.importorskip("skimage.data")
    return torch.from_numpy(data.astronaut()).float() / 255
