"""The one way from an image to its restored faces, and the one model, for all doors."""
# pyright: reportMissingImports=false

from __future__ import annotations

import gc
import re
import sys
from pathlib import Path
from typing import Any

import torch
from modules import devices, shared
from torch import Tensor

from gpen_nodes import (
    WEIGHT_FILES,
    GpenError,
    OptionError,
    Restoration,
    Restorer,
    forget_restorers,
    get_restorer,
    restore_image,
)

from .host import WebuiHost
from .models import SHIPPED, find_model

__all__ = ["FAILURES", "count", "restore", "tell"]

FAILURES = (GpenError, RuntimeError, MemoryError, OSError, ValueError)
"""What may go wrong while an image is restored; ``tell`` makes a sentence of it."""

_resident: tuple[Any, ...] | None = None


def restore(image: Tensor, model: str = SHIPPED, size: int | None = None, **options: Any) -> Restoration:
    """Restore the faces of one image. The caller holds the host's queue lock.

    Args:
        image: [H, W, 3] or [1, H, W, 3] in [0, 1].
        model: one of ``model_files``.
        size: what the model has to restore at, in pixels; None takes any.
        options: of ``restore_image``.

    Raises:
        Stopped: the user interrupted or skipped.
        GpenError: see ``FAILURES`` for the others.
    """
    host = WebuiHost()
    # Forge runs in inference mode, in which weights would be made that nobody may move later.
    with torch.inference_mode(False), torch.no_grad():
        restorer = _load(model, host)
        if size is not None and size != restorer.size:
            raise OptionError(
                f"Found size {size}, but {model} restores at {restorer.size} px. Choose another model, or "
                "leave the size to it."
            )
        try:
            weights = _detector_weights(options.get("detector", ""))
            return restore_image(image, restorer, host=host, detector_weights=weights, **options)
        finally:
            host.finish()


def _load(model: str, host: WebuiHost) -> Restorer:
    """The resident restorer; another one takes its place."""
    global _resident
    wanted = find_model(model), host.dtype, host.device
    if wanted != _resident:
        _resident = None
        forget_restorers()
        gc.collect()  # the traceback of a failure may hold it still
        devices.torch_gc()
    restorer = get_restorer(*wanted, host=host)
    _resident = wanted
    return restorer


def _detector_weights(detector: str) -> Path | None:
    """RetinaFace's, where the host has already got them for its own face restorers."""
    names = [file.name for file in WEIGHT_FILES.values() if file.needed_by == f"detector {detector}"]
    for flag in ("gfpgan_models_path", "codeformer_models_path"):
        if folder := getattr(shared.cmd_opts, flag, None):
            paths = (Path(folder, name) for name in names)
            if found := next(filter(Path.is_file, paths), None):
                return found
    return None


def tell(error: BaseException) -> str:
    """One sentence on a failure, for the page; the console gets it too."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    sentence = lines[0] if not isinstance(error, GpenError) else " ".join(lines)
    if isinstance(error, MemoryError) or re.search("(?i)(out of|allocate|enough) memory", sentence):
        sentence = "Out of memory; a smaller picture or model, --medvram or --use-cpu gpen needs less."
    print(f"GPEN: {sentence}", file=sys.stderr)
    return sentence


def count(result: Restoration) -> str:
    """How many of the faces that were found have been restored, such as ``2 of 3``."""
    return f"{sum(report.restored for report in result.reports)} of {len(result.reports)}"
