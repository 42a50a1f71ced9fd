"""The one way from an image to its restored faces, and the one model, for all doors."""
# pyright: reportMissingImports=false

from __future__ import annotations

import gc
from typing import Any

import torch
from modules import devices
from torch import Tensor

from gpen_nodes import (
    DETECTORS,
    OptionError,
    Restoration,
    Restorer,
    forget_restorers,
    get_restorer,
    restore_image,
)

from .host import WebuiHost
from .models import SHIPPED, find_detector, find_model

__all__ = ["count", "restore"]

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
        GpenError: see ``sentences.FAILURES`` for the others.
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
            weights = find_detector(options.get("detector", DETECTORS[0]))
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


def count(result: Restoration) -> str:
    """How many of the faces that were found have been restored, such as ``2 of 3``."""
    return f"{sum(report.restored for report in result.reports)} of {len(result.reports)}"
