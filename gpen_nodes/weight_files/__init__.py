"""Files of weights: a catalogue of them, where they lie, how to get them, and the reader of ONNX files."""

from __future__ import annotations

from .catalogue import (
    ALEXNET,
    CATALOGUE,
    INCEPTION,
    LPIPS,
    MOBILEFACENET,
    MTCNN,
    NIQE_PARAMETERS,
    RETINAFACE,
    SHIPPED,
    VGG19,
    VGG19_DISTILLED,
    WeightFile,
)
from .digest import sha256
from .onnx_weights import read_onnx_weights
from .search import (
    CHECKPOINT_SUFFIXES,
    Folders,
    cache_folder,
    find_checkpoints,
    find_weights,
    is_checkpoint_name,
    locate,
    model_path,
    model_paths,
    shipped_model,
)

__all__ = [
    "ALEXNET",
    "CATALOGUE",
    "CHECKPOINT_SUFFIXES",
    "INCEPTION",
    "LPIPS",
    "MOBILEFACENET",
    "MTCNN",
    "NIQE_PARAMETERS",
    "RETINAFACE",
    "SHIPPED",
    "VGG19",
    "VGG19_DISTILLED",
    "Folders",
    "WeightFile",
    "cache_folder",
    "find_checkpoints",
    "find_weights",
    "is_checkpoint_name",
    "locate",
    "model_path",
    "model_paths",
    "read_onnx_weights",
    "sha256",
    "shipped_model",
]
