"""Moved to ``gpen_nodes.weight_files``; this name stays for one version."""

from __future__ import annotations

import warnings

from ..weight_files import read_onnx_weights

__all__ = ["read_onnx_weights"]

warnings.warn(
    "gpen_nodes.faces.onnx_weights is gpen_nodes.weight_files now", DeprecationWarning, stacklevel=2
)
