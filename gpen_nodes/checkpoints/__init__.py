"""Weight files: read safely whatever their layout, described, and written."""

from __future__ import annotations

from ..weight_files import sha256
from .checkpoint import Checkpoint, Layout, describe
from .onnx import OnnxProgram
from .read import read_checkpoint, read_model, read_tensors
from .tasks import TASKS, find_task
from .write import default_layout, write_checkpoint

__all__ = [
    "TASKS",
    "Checkpoint",
    "Layout",
    "OnnxProgram",
    "default_layout",
    "describe",
    "find_task",
    "read_checkpoint",
    "read_model",
    "read_tensors",
    "sha256",
    "write_checkpoint",
]
