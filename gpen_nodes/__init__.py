"""GPEN face restoration: load a model, find, align and restore faces, paste them back, degrade pictures."""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

from .checkpoints import TASKS, Checkpoint, read_checkpoint, write_checkpoint
from .crops import replace_crops, restore_crops, restore_faces, stack_crops
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
    AlignedFace,
    AlignOptions,
    DetectedFace,
    DetectOptions,
    FaceChoice,
    FaceReport,
    JudgeOptions,
    PasteOptions,
    RestoreOptions,
    SelectOptions,
    Verdict,
    align_face,
    align_faces,
    detect_faces,
    detector_weights,
    draw_faces,
    face_likeness,
    find_faces,
    find_faces_in_boxes,
    fit_mask,
    judge_faces,
    paste_back,
    select_faces,
    usable_detectors,
)
from .host import Host, LocalHost
from .images import from_uint8, to_uint8
from .inference import BACKENDS, DTYPES, Backend, Restorer, Restorers, forget_restorers, get_restorer
from .model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig
from .options import Option
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

if TYPE_CHECKING:
    from .degradation import (
        EVALUATION_RECIPE,
        DegradationRecipe,
        DegradationValues,
        apply_degradation,
        degrade,
    )
    from .films import FilmOptions, RestoredFrames, open_film, restore_film, restore_frames
    from .image_files import (
        ImageFile,
        decode_image_file,
        encode_image_file,
        read_image_file,
        write_image_file,
    )
    from .model.growing import grow

__version__ = "0.1.0"

__all__ = [
    "BACKENDS",
    "CHECKPOINT_SUFFIXES",
    "DETECTORS",
    "DTYPES",
    "EVALUATION_RECIPE",
    "ORDERS",
    "SELECTION_ORDERS",
    "TASKS",
    "TEMPLATES",
    "WEIGHT_FILES",
    "AlignOptions",
    "AlignedFace",
    "ArchitectureError",
    "Backend",
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
    "FilmOptions",
    "Gpen",
    "GpenConfig",
    "GpenError",
    "Host",
    "ImageError",
    "ImageFile",
    "JudgeOptions",
    "LocalHost",
    "MissingWeightsError",
    "Option",
    "OptionError",
    "OutOfMemoryError",
    "PasteOptions",
    "Restoration",
    "RestoreOptions",
    "RestoredFrames",
    "Restorer",
    "Restorers",
    "SelectOptions",
    "UnsafeCheckpointError",
    "Verdict",
    "WeightFile",
    "align_face",
    "align_faces",
    "apply_degradation",
    "check_aligned",
    "decode_image_file",
    "degrade",
    "detect_faces",
    "detector_weights",
    "draw_faces",
    "encode_image_file",
    "face_likeness",
    "find_checkpoints",
    "find_faces",
    "find_faces_in_boxes",
    "find_weights",
    "fit_mask",
    "forget_restorers",
    "from_uint8",
    "get_restorer",
    "grow",
    "is_checkpoint_name",
    "judge_faces",
    "open_film",
    "paste_back",
    "read_checkpoint",
    "read_image_file",
    "replace_crops",
    "restore_crops",
    "restore_faces",
    "restore_film",
    "restore_frames",
    "restore_image",
    "select_faces",
    "shipped_model",
    "stack_crops",
    "to_uint8",
    "usable_detectors",
    "write_checkpoint",
    "write_image_file",
]


_RENAMED = {
    "Face": "DetectedFace",
    "Picture": "ImageFile",
    "read_picture": "read_image_file",
    "write_picture": "write_image_file",
}


# A host reads its files itself, restores films seldom, and restores more often than it degrades.
_ON_FIRST_USE = {
    **dict.fromkeys(
        ("EVALUATION_RECIPE", "DegradationRecipe", "DegradationValues", "apply_degradation", "degrade"),
        ".degradation",
    ),
    **dict.fromkeys(
        ("FilmOptions", "RestoredFrames", "open_film", "restore_film", "restore_frames"), ".films"
    ),
    **dict.fromkeys(
        ("ImageFile", "decode_image_file", "encode_image_file", "read_image_file", "write_image_file"),
        ".image_files",
    ),
    "grow": ".model.growing",
}


def __getattr__(name: str) -> object:
    """What few need is imported when it is asked for; names of version 0.1 work for one version more."""
    if name in _ON_FIRST_USE:
        globals()[name] = getattr(importlib.import_module(_ON_FIRST_USE[name], __name__), name)
        return globals()[name]
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    more = ", and AlignedFace once it has a crop" if name == "Face" else ""
    warnings.warn(f"gpen_nodes.{name} is now {_RENAMED[name]}{more}.", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module(__name__), _RENAMED[name])
