"""Torch, with everything folded into weights that can be: the backend of ours, alone or as a CUDA graph."""

from .backend import FoldedBackend, GraphBackend
from .network import FoldedGpen, fold

__all__ = ["FoldedBackend", "FoldedGpen", "GraphBackend", "fold"]
