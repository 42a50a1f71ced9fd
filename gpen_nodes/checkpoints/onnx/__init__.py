"""ONNX exports of GPEN back to its weights, and a GPEN to an export; without onnx or onnxruntime.

The readers and the writer load when a file is read or written."""

from __future__ import annotations

from .program import OnnxProgram, ProgramError
from .read import is_onnx, read_onnx

__all__ = ["OnnxProgram", "ProgramError", "is_onnx", "read_onnx"]
