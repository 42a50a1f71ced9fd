"""ONNX exports: told apart, and not yet read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import CheckpointError

__all__ = ["is_onnx", "read_onnx"]


def is_onnx(head: bytes) -> bool:
    """Whether a file starts as a ModelProto does: with its ir_version, a small number."""
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 0x20


def read_onnx(path: Path) -> tuple[dict, dict[str, Any]]:
    """Refuse the file."""
    raise CheckpointError(f"{path} is an ONNX export. Get the checkpoint that it was made from.")
