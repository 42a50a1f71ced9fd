"""Aligned faces on disk, whatever they lie in."""

from __future__ import annotations

from .faceset import FaceSet, open_faces
from .store import FaceStore

__all__ = ["FaceSet", "FaceStore", "open_faces"]
