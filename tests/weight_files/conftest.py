"""A machine that has no weights yet, and no way out to the network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Torch's folder of downloads, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"
