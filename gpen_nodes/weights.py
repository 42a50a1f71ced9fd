"""Moved to ``gpen_nodes.weight_files``; this name stays for one version."""

from __future__ import annotations

import warnings

from .weight_files import shipped_model

__all__ = ["shipped_model"]

warnings.warn("gpen_nodes.weights is gpen_nodes.weight_files now", DeprecationWarning, stacklevel=2)
