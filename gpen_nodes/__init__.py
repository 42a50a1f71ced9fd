"""GPEN face restoration: load a model, find, align and restore faces, paste them back, degrade pictures."""

from __future__ import annotations

import warnings

from .cache import forget_restorers, get_restorer
from .checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from .crops import replace_crops, restore_crops, restore_faces, stack_crops
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
    UnsafeCheckpointError,
)
from .faces import (
    DETECTORS,
    ORDERS,
    SELECTION_ORDERS,
    TEMPLATES,
    AlignedFace,
    AlignOptions,
    DetectedFace,
    DetectOptions,
    FaceChoice,
    FaceReport,
    PasteOptions,
    RestoreOptions,
    SelectOptions,
    Verdict,
    align_face,
    align_faces,
    detect_faces,
    draw_faces,
    face_likeness,
    find_faces,
    fit_mask,
    judge_faces,
    paste_back,
    select_faces,
)
from .host import Host, LocalHost
from .images import from_uint8, to_uint8
from .model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig, grow
from .options import Option
from .picture import Picture, read_picture, write_picture
from .pipeline import Restoration, check_aligned, restore_image
from .precision import DTYPES
from .restorer import Restorer
from .weights import shipped_model

__version__ = "0.1.0"

__all__ = [
    "DETECTORS",
    "DTYPES",
    "EVALUATION_RECIPE",
    "ORDERS",
    "SELECTION_ORDERS",
    "TEMPLATES",
    "AlignOptions",
    "AlignedFace",
    "ArchitectureError",
    "Checkpoint",
    "CheckpointError",
    "DegenerateOutputError",
    "DegradationRecipe",
    "DegradationValues",
    "DetectOptions",
    "DetectedFace",
    "Discriminator",
    "DiscriminatorConfig",
    "FaceChoice",
    "FaceError",
    "FaceReport",
    "Gpen",
    "GpenConfig",
    "GpenError",
    "Host",
    "ImageError",
    "LocalHost",
    "MissingWeightsError",
    "Option",
    "OptionError",
    "PasteOptions",
    "Picture",
    "Restoration",
    "RestoreOptions",
    "Restorer",
    "SelectOptions",
    "UnsafeCheckpointError",
    "Verdict",
    "align_face",
    "align_faces",
    "apply_degradation",
    "check_aligned",
    "degrade",
    "detect_faces",
    "draw_faces",
    "face_likeness",
    "find_faces",
    "fit_mask",
    "forget_restorers",
    "from_uint8",
    "get_restorer",
    "grow",
    "judge_faces",
    "paste_back",
    "read_checkpoint",
    "read_picture",
    "replace_crops",
    "restore_crops",
    "restore_faces",
    "restore_image",
    "select_faces",
    "shipped_model",
    "stack_crops",
    "to_uint8",
    "write_checkpoint",
    "write_picture",
]


def __getattr__(name: str) -> object:
    """Former names, for one more version."""
    if name == "Face":
        warnings.warn("Face is now DetectedFace, and AlignedFace once it has a crop", DeprecationWarning, 2)
        return DetectedFace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
