"""Faces as other nodes know them: the host's boxes, Impact Pack's segments, a text."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpen_nodes import DetectedFace, OptionError

__all__ = ["Faces", "from_boxes", "from_segments", "to_boxes", "to_segments"]

_SHOWN = 20

# The fields and their order are Impact Pack's, which reads them by name.
Segment = namedtuple(
    "Segment",
    "cropped_image cropped_mask confidence crop_region bbox label control_net_wrapper",
    defaults=(None,),
)


class Faces(tuple):
    """What travels between nodes: a tuple of faces that is short enough to print."""

    def __repr__(self) -> str:
        lines = [f"image {face.image_index}: {face}" for face in self[:_SHOWN]]
        more = [f"and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        return "\n".join([f"{len(self)} faces", *lines, *more])


def to_boxes(faces: Sequence[DetectedFace], images: int) -> list[list[dict[str, int]]]:
    """BOUNDING_BOX as the host's nodes give it: for each image a list, in pixels."""
    boxes: list[list[dict[str, int]]] = [[] for _ in range(images)]
    for face in faces:
        x0, y0, x1, y1 = (round(v + 0.5) for v in face.box)
        boxes[face.image_index].append({"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0})
    return boxes


def from_boxes(boxes: Any, images: int) -> list[list[tuple[float, float, float, float]]]:
    """For each image its boxes as x0, y0, x1, y1.

    Args:
        boxes: one box, a list of them, or a list of such lists; of too few, the last counts on.

    Raises:
        OptionError: something else.
    """
    if isinstance(boxes, dict):
        boxes = [boxes]
    try:
        if boxes and all(isinstance(box, dict) for box in boxes):
            boxes = [boxes]
        lists = [[_corners(box) for box in own] for own in boxes]
    except (TypeError, KeyError) as error:
        raise OptionError(
            f"boxes is {str(boxes)[:80]}; expected BOUNDING_BOX: x, y, width and height of each, in pixels."
        ) from error
    return [lists[min(index, len(lists) - 1)] if lists else [] for index in range(images)]


def _corners(box: dict[str, float]) -> tuple[float, float, float, float]:
    left, top = box["x"] - 0.5, box["y"] - 0.5
    return left, top, left + box["width"], top + box["height"]


def to_segments(faces: Sequence[DetectedFace]) -> tuple[tuple[int, int], list[Segment]]:
    """SEGS of the first image that has faces: masks are their boxes, regions twice as wide."""
    if not faces:
        return (0, 0), []
    index, (height, width) = faces[0].image_index, faces[0].image_size
    segments = []
    for face in (face for face in faces if face.image_index == index):
        x0, y0, x1, y1 = (round(v + 0.5) for v in face.box)
        margin = max(x1 - x0, y1 - y0) // 2
        left, top = max(0, x0 - margin), max(0, y0 - margin)
        right, bottom = min(width, x1 + margin), min(height, y1 + margin)
        mask = np.zeros((bottom - top, right - left), np.float32)
        mask[y0 - top : y1 - top, x0 - left : x1 - left] = 1
        segments.append(Segment(None, mask, face.score, [left, top, right, bottom], [x0, y0, x1, y1], "face"))
    return (height, width), segments


def from_segments(segments: Any) -> list[list[dict[str, int]]]:
    """The boxes of SEGS, as one image's BOUNDING_BOX.

    Raises:
        OptionError: no SEGS.
    """
    try:
        boxes = [[int(v) for v in one.bbox] for one in segments[1]]
    except (TypeError, IndexError, AttributeError) as error:
        raise OptionError(
            f"segs is of the type {type(segments).__name__}; expected Impact Pack's SEGS."
        ) from error
    return [[{"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0} for x0, y0, x1, y1 in boxes]]
