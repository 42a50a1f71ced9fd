"""ONNX exports of GPEN back to its weights, without onnx or onnxruntime."""

from __future__ import annotations

from .read import is_onnx, read_onnx

__all__ = ["is_onnx", "read_onnx"]
