"""GPEN face restoration: load a model, find, align and restore faces, paste them back, degrade pictures."""

from __future__ import annotations

import warnings
from typing import Any

from .checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from .crops import replace_crops, restore_crops, restore_faces
from .degradation import EVALUATION_RECIPE, DegradationRecipe, DegradationValues, apply_degradation, degrade
from .errors import (
    ArchitectureError,
    CheckpointError,
    DegenerateOutputError,
    FaceError,
    GpenError,
    ImageError,
    MissingWeightsError,
    OptionError,
    OutOfMemoryError,
    UnsafeCheckpointError,
)
from .faces import (
    DETECTORS,
    ORDERS,
    SELECTION_ORDERS,
    TEMPLATES,
    Face,
    FaceReport,
    align_face,
    detect_faces,
    draw_faces,
    face_likeness,
    paste_back,
    select_faces,
)
from .host import Host, LocalHost
from .image_files import ImageFile, read_image_file, write_image_file
from .images import from_uint8, to_uint8
from .inference import BACKENDS, DTYPES, Backend, Restorer, forget_restorers, get_restorer
from .model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig, grow
from .pipeline import Restoration, check_aligned, restore_image
from .weight_files import CATALOGUE as WEIGHT_FILES
from .weight_files import (
    CHECKPOINT_SUFFIXES,
    WeightFile,
    find_checkpoints,
    find_weights,
    is_checkpoint_name,
    shipped_model,
)

__version__ = "0.1.0"

__all__ = [
    "BACKENDS",
    "CHECKPOINT_SUFFIXES",
    "DETECTORS",
    "DTYPES",
    "EVALUATION_RECIPE",
    "ORDERS",
    "SELECTION_ORDERS",
    "TEMPLATES",
    "WEIGHT_FILES",
    "ArchitectureError",
    "Backend",
    "Checkpoint",
    "CheckpointError",
    "DegenerateOutputError",
    "DegradationRecipe",
    "DegradationValues",
    "Discriminator",
    "DiscriminatorConfig",
    "Face",
    "FaceError",
    "FaceReport",
    "Gpen",
    "GpenConfig",
    "GpenError",
    "Host",
    "ImageError",
    "ImageFile",
    "LocalHost",
    "MissingWeightsError",
    "OptionError",
    "OutOfMemoryError",
    "Restoration",
    "Restorer",
    "UnsafeCheckpointError",
    "WeightFile",
    "align_face",
    "apply_degradation",
    "check_aligned",
    "degrade",
    "detect_faces",
    "draw_faces",
    "face_likeness",
    "find_checkpoints",
    "find_weights",
    "forget_restorers",
    "from_uint8",
    "get_restorer",
    "grow",
    "is_checkpoint_name",
    "paste_back",
    "read_checkpoint",
    "read_image_file",
    "replace_crops",
    "restore_crops",
    "restore_faces",
    "restore_image",
    "select_faces",
    "shipped_model",
    "to_uint8",
    "write_checkpoint",
    "write_image_file",
]

_RENAMED = {"Picture": "ImageFile", "read_picture": "read_image_file", "write_picture": "write_image_file"}


def __getattr__(name: str) -> Any:
    """Names of version 0.1, for one version more."""
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"gpen_nodes.{name} is now {_RENAMED[name]}.", DeprecationWarning, stacklevel=2)
    return globals()[_RENAMED[name]]
