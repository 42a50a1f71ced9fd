"""Faces where somebody else has found them: boxes in, landmarks out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..errors import OptionError
from ..host import Host
from ..images import as_batch
from ..options import gather
from .face import DetectedFace
from .finding import find_faces
from .options import DetectOptions

__all__ = ["find_faces_in_boxes"]

Box = Sequence[float]

_SURE_ENOUGH = 0.5  # somebody has said already that there is a face
_OVERLAP = 0.2  # other programs' boxes end at the chin, at the ears, or include the hair
_SMALLEST = 0.4  # of a box's side: the least face to look for


def find_faces_in_boxes(
    images: Tensor,
    boxes: Sequence[Sequence[Box]],
    options: DetectOptions | None = None,
    *,
    host: Host | None = None,
    **keywords: Any,
) -> tuple[DetectedFace, ...]:
    """Find one face in each box, such as those of another program's detector, which gives no landmarks.

    Args:
        images: as ``find_faces`` takes them.
        boxes: for each image those of its faces: x0, y0, x1, y1 in pixels.
        options: see ``DetectOptions``, whose fields are keywords, too. A score of 0.5 is enough.
        host: as ``find_faces`` takes it.

    Returns:
        Faces in the order of the images and boxes; none for a box in which no face is found.

    Raises:
        OptionError: not as many lists of boxes as images, or as ``find_faces``.
        ImageError, MissingWeightsError, CheckpointError: as ``find_faces``.
    """
    options = gather(DetectOptions, options, keywords)
    batch = as_batch(images)
    if len(boxes) != len(batch):
        raise OptionError(f"Found {len(boxes)} lists of boxes; expected one for each of {len(batch)} images.")
    options = dataclasses.replace(options, min_score=min(options.min_score, _SURE_ENOUGH))
    found = [_find(batch, index, box, options, host) for index, own in enumerate(boxes) for box in own]
    return tuple(face for face in found if face is not None)


def _find(
    batch: Tensor, index: int, box: Box, options: DetectOptions, host: Host | None
) -> DetectedFace | None:
    """The face that fills a box best; None if there is none."""
    height, width = batch.shape[1:3]
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0)
    left, top = max(0, int(x0 - side / 2)), max(0, int(y0 - side / 2))
    part = batch[index, top : int(y1 + side / 2) + 1, left : int(x1 + side / 2) + 1]
    if 0 in part.shape:
        return None
    smallest = max(options.smallest, _SMALLEST * side)
    inside = find_faces(part, dataclasses.replace(options, smallest=smallest), host=host)
    shifted = [_moved(face, left, top, index, (height, width)) for face in inside]
    best = max(shifted, key=lambda face: _overlap(face.box, box), default=None)
    return best if best is not None and _overlap(best.box, box) > _OVERLAP else None


def _moved(face: DetectedFace, x: int, y: int, index: int, size: tuple[int, int]) -> DetectedFace:
    x0, y0, x1, y1 = face.box
    points = tuple((px + x, py + y) for px, py in face.landmarks)
    box = x0 + x, y0 + y, x1 + x, y1 + y
    return DetectedFace(box, points, face.score, index, size)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    sides = [max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1)]
    areas = [max(0.0, c[2] - c[0]) * max(0.0, c[3] - c[1]) for c in (a, b)]
    shared = sides[0] * sides[1]
    return shared / max(sum(areas) - shared, 1e-9)
