"""Fixtures that several tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from torch import Tensor

from gpen_nodes import Checkpoint, Gpen, GpenConfig, LocalHost, write_checkpoint

# A loaded machine is slow, which is no error.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered between processes is not the user's, nor a verdict of an earlier run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Photos, faces and detectors that are no part of the repository."""
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


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPEN of 64 px with random weights: as fast as one gets, and nothing to look at."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Gpen(GpenConfig(64, 64, 0.125, 1, style_dim=64, mapping_depth=2))
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_checkpoint(Checkpoint(model.state_dict(), model.config), path)
    return path


class RecordingHost(LocalHost):
    """A CPU host that remembers what it was told, and stops after ``patience`` looks for an interrupt."""

    def __init__(self, patience: int | None = None) -> None:
        super().__init__("cpu")
        self.told: list[tuple[int, int]] = []
        self.looks, self.patience = 0, patience

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        self.told.append((done, total))

    def check_interrupt(self) -> None:
        self.looks += 1
        if self.patience is not None and self.looks > self.patience:
            raise KeyboardInterrupt


@pytest.fixture
def recording_host() -> type[RecordingHost]:
    return RecordingHost
