"""Detectors of faces. A further one is a file with a ``Detector``, and its line in the table here."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...weight_files import MTCNN, RETINAFACE, Folders, locate
from ..geometry.boxes import Detections

__all__ = ["DETECTORS", "Detector", "detector_weights", "load_detector", "usable_detectors"]


class Detector(Protocol):
    """Networks on a device that find the faces of one image."""

    @property
    def module(self) -> nn.Module:
        """The networks, for a host to hold on its device while they run."""
        ...

    @property
    def working_bytes(self) -> int:
        """Memory that they need beside their weights, at most."""
        ...

    def __call__(
        self, image: Tensor, min_score: float, min_face: float, check: Callable[[], object]
    ) -> Detections:
        """Find faces.

        Args:
            image: [3, H, W] RGB in [0, 1], on the networks' device. NaN reads as black.
            min_score: the least score of a face, in [0, 1].
            min_face: side of the smallest face to look for, in pixels; 0 leaves it to the detector.
            check: called often enough for Cancel to feel immediate; what it raises ends the search.
        """
        ...


def _load(file: str, name: str, *args: Any) -> Detector:
    """A detector of a file here, which is imported when it is chosen."""
    return getattr(importlib.import_module(f".{file}", __name__), name)(*args)


# From a device and a file (for MTCNN a folder) of weights, or None for the usual place.
_TABLE: dict[str, Callable[[torch.device, str | None], Detector]] = {
    "mtcnn": partial(_load, "mtcnn", "Mtcnn"),
    "retinaface_mobile0.25": partial(_load, "retinaface", "RetinaFace", "retinaface_mobile0.25"),
    "retinaface_resnet50": partial(_load, "retinaface", "RetinaFace", "retinaface_resnet50"),
}

DETECTORS = tuple(_TABLE)
"""Names of the detectors. The first needs no download; the others run facexlib's RetinaFace."""


def detector_weights(name: str, folders: Folders = ()) -> Path | None:
    """A detector's file in a host's folders, for ``DetectOptions.detector_weights``.

    Returns:
        None where there is none, or the detector keeps no such file: it then looks where its own package and
        `gpen-nodes models get` keep it.
    """
    file = RETINAFACE.get(name)
    paths = () if file is None else (Path(folder, file.name) for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def usable_detectors(folders: Folders = ()) -> tuple[str, ...]:
    """Those of ``DETECTORS`` that can run here: weights, also in these folders, and packages are there."""

    def is_usable(name: str) -> bool:
        if name not in RETINAFACE:
            return all(locate(file) for file in MTCNN.values())
        has_package = importlib.util.find_spec("facexlib") is not None
        return has_package and locate(RETINAFACE[name], folders) is not None

    return tuple(filter(is_usable, DETECTORS))


@lru_cache(maxsize=4)
def load_detector(name: str, device: torch.device, weights: str | None = None) -> Detector:
    """A detector, kept between calls: a few MB each (109 MB for ResNet-50).

    Raises:
        MissingWeightsError: the weights, or a package that runs them, are not on this machine.
        CheckpointError: a damaged weight file.
    """
    with torch.inference_mode(False):  # else a host could not move its tensors outside of that mode
        return _TABLE[name](device, weights)
