"""How models are made: faces to learn from, losses, the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import TrainingConfig, read_config, to_toml
from .prepare import prepare_faces

if TYPE_CHECKING:
    from .loop import train

__all__ = [
    "TrainingConfig",
    "prepare_faces",
    "read_config",
    "to_toml",
    "train",
]


def __getattr__(name: str) -> Any:
    # The loop needs Lightning Fabric; faces are prepared, and models evaluated, without it.
    if name == "train":
        from .loop import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
