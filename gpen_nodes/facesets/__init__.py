"""Aligned faces on disk, whatever they lie in."""

from __future__ import annotations

from .faceset import FaceSet, open_faces
from .names import generator_of, number_names, person_of
from .store import FaceStore

__all__ = ["FaceSet", "FaceStore", "generator_of", "number_names", "open_faces", "person_of"]
