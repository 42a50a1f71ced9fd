"""GPEN face restoration: load a model, find, align and restore faces, paste them back, degrade pictures."""

from __future__ import annotations

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
from .images import from_uint8, to_uint8
from .inference import BACKENDS, DTYPES, Backend, Restorer, forget_restorers, get_restorer
from .model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig, grow
from .picture import Picture, read_picture, write_picture
from .pipeline import Restoration, check_aligned, restore_image
from .weights import shipped_model

__version__ = "0.1.0"

__all__ = [
    "BACKENDS",
    "DETECTORS",
    "DTYPES",
    "EVALUATION_RECIPE",
    "ORDERS",
    "SELECTION_ORDERS",
    "TEMPLATES",
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
    "LocalHost",
    "MissingWeightsError",
    "OptionError",
    "OutOfMemoryError",
    "Picture",
    "Restoration",
    "Restorer",
    "UnsafeCheckpointError",
    "align_face",
    "apply_degradation",
    "check_aligned",
    "degrade",
    "detect_faces",
    "draw_faces",
    "face_likeness",
    "forget_restorers",
    "from_uint8",
    "get_restorer",
    "grow",
    "paste_back",
    "read_checkpoint",
    "read_picture",
    "replace_crops",
    "restore_crops",
    "restore_faces",
    "restore_image",
    "select_faces",
    "shipped_model",
    "to_uint8",
    "write_checkpoint",
    "write_picture",
]
