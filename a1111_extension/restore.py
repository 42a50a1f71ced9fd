"""The one way from an image to its restored faces, and the one model, for all doors."""
# pyright: reportMissingImports=false

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
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
    restore_crops,
    restore_image,
)

from .host import WebuiHost
from .models import SHIPPED, find_detector, find_model

__all__ = ["AUTO", "count", "loaded", "restore"]

AUTO = "auto"  # for a task: what the model's file says or is called

_resident: tuple[Any, ...] | None = None


def restore(
    image: Tensor,
    model: str = SHIPPED,
    size: int | None = None,
    task: str = AUTO,
    mask: Tensor | None = None,
    **options: Any,
) -> Restoration:
    """Restore the faces of one image, or do what the model was trained for. The caller holds the host's queue
    lock.

    Args:
        image: [H, W, 3] or [1, H, W, 3] in [0, 1].
        model: one of ``model_files``.
        size: what the model has to restore at, in pixels; None takes any.
        task: one of ``TASKS``, or ``AUTO``.
        mask: [H, W] in [0, 1], as ``restore_image`` takes it; not for maps of a face's parts, whose square
            becomes a face as a whole.
        options: of ``restore_image``.

    Raises:
        Stopped: the user interrupted or skipped.
        GpenError: see ``sentences.FAILURES`` for the others.
    """
    host = WebuiHost()
    with loaded(model, size, task, host) as restorer:
        if restorer.task == "inpaint" and mask is None:
            raise OptionError(
                f"{model} fills what a mask marks, and there is none. The route /gpen/v1/restore takes mask, "
                "a picture that is white where the image is missing; the page has no place for one."
            )
        if restorer.task == "seg2face":
            return _made_of_map(image, restorer, host)
        weights = find_detector(options.get("detector", DETECTORS[0]))
        return restore_image(image, restorer, host=host, mask=mask, detector_weights=weights, **options)


@contextmanager
def loaded(model: str, size: int | None, task: str, host: WebuiHost) -> Iterator[Restorer]:
    """The resident restorer for one run, after which the host has its progress back.

    Args:
        model, size, task: as ``restore`` takes them.

    Raises:
        OptionError: the model restores at another size.
        GpenError: as ``get_restorer``.
    """
    # Forge runs in inference mode, in which weights would be made that nobody may move later.
    with torch.inference_mode(False), torch.no_grad():
        restorer = _load(model, host, None if task == AUTO else task)
        if size is not None and size != restorer.size:
            raise OptionError(
                f"Found size {size}, but {model} restores at {restorer.size} px. Choose another model, or "
                "leave the size to it."
            )
        try:
            yield restorer
        finally:
            host.finish()


def _made_of_map(image: Tensor, restorer: Restorer, host: WebuiHost) -> Restoration:
    """The face that a map of its parts becomes, all of which is the model's."""
    face = restore_crops(restorer, image if image.dim() == 4 else image[None], host)
    return Restoration(face, torch.ones(face.shape[:3]), (), (), ())


def _load(model: str, host: WebuiHost, task: str | None = None) -> Restorer:
    """The resident restorer; another one takes its place."""
    global _resident
    wanted = find_model(model), host.dtype, host.device, task
    if wanted != _resident:
        _resident = None
        forget_restorers()
        gc.collect()  # the traceback of a failure may hold it still
        devices.torch_gc()
    restorer = get_restorer(*wanted[:3], task=task, host=host)
    _resident = wanted
    return restorer


def count(result: Restoration) -> str:
    """How many of the faces that were found have been restored, such as ``2 of 3``; or that one was made."""
    if not result.reports and bool(result.mask.all()):
        return "made of a map"
    return f"{sum(report.restored for report in result.reports)} of {len(result.reports)}"
