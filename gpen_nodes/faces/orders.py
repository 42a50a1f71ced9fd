"""In which order the faces of an image come."""

from __future__ import annotations

import math
from collections.abc import Callable

from .face import DetectedFace

__all__ = ["ORDERS", "SELECTION_ORDERS", "sorting_key"]

_KEYS: dict[str, Callable[[DetectedFace], tuple[float, ...]]] = {
    "size": lambda face: (-face.size, *face.box),
    "score": lambda face: (-face.score, *face.box),
    "left_to_right": lambda face: face.box,
    "top_to_bottom": lambda face: (face.box[1], *face.box),
}

ORDERS = tuple(_KEYS)
"""Orders of an image's faces: largest first, highest score first, or by where their boxes begin."""

SELECTION_ORDERS = (*ORDERS, "nearest", "most_alike")
"""What ``select_faces`` knows: also nearest to a point, and most alike to somebody, first."""


def sorting_key(
    order: str, point: tuple[float, float] = (0.5, 0.5)
) -> Callable[[DetectedFace, float], tuple[float, ...]]:
    """The key of one of ``SELECTION_ORDERS``, for a face and its likeness.

    Args:
        point: for "nearest", in shares of the image's width and height.
    """
    if order == "nearest":
        return lambda face, likeness: (_distance(face, point),)
    if order == "most_alike":
        return lambda face, likeness: (-likeness,)
    return lambda face, likeness: _KEYS[order](face)


def _distance(face: DetectedFace, point: tuple[float, float]) -> float:
    """From a face's centre to a point in shares of the image's sides, in pixels."""
    height, width = face.image_size
    x, y = face.centre
    return math.hypot(x + 0.5 - point[0] * width, y + 0.5 - point[1] * height)
