"""Faces to train on, without any photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpen_nodes.facesets import FaceStore


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine "faces" of 64 px, each a smooth picture from a photo of its own."""
    folder = tmp_path_factory.mktemp("faces")
    generator = np.random.default_rng(0)
    corners = generator.integers(0, 256, (9, 4, 4, 3), dtype=np.uint8)
    FaceStore.write(folder, corners.repeat(16, axis=1).repeat(16, axis=2), [f"{n}.jpg" for n in range(9)])
    return folder
