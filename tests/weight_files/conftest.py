"""A machine that has no weights yet, and no way out to the network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Torch's folder of downloads, empty."""
    hub = tmp_path_factory.mktemp("hub")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    return hub / "checkpoints"
