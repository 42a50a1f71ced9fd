"""ONNX exports of GPEN back to its weights, and a GPEN to an export; without onnx or onnxruntime."""

from __future__ import annotations

from .program import OnnxProgram, ProgramError
from .read import is_onnx, read_onnx
from .write import write_onnx

__all__ = ["OnnxProgram", "ProgramError", "is_onnx", "read_onnx", "write_onnx"]
