"""Our torch backend: a network whose constants are folded into its weights, plain or as a CUDA graph."""

from .backend import FoldedBackend, GraphBackend
from .network import FoldedGpen, fold

__all__ = ["FoldedBackend", "FoldedGpen", "GraphBackend", "fold"]
