"""Which faces, and in which order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import OptionError
from .face import Face

__all__ = ["ORDERS", "SELECTION_ORDERS", "FaceReport", "order_of", "select_faces"]

_KEYS: dict[str, Callable[[Face], tuple[float, ...]]] = {
    "size": lambda face: (-face.size, *face.box),
    "score": lambda face: (-face.score, *face.box),
    "left_to_right": lambda face: face.box,
    "top_to_bottom": lambda face: (face.box[1], *face.box),
}

ORDERS = tuple(_KEYS)
"""Orders of an image's faces: largest first, highest score first, or by where their boxes begin."""

SELECTION_ORDERS = (*ORDERS, "nearest", "most_alike")
"""What ``select_faces`` knows: also nearest to a point, and most alike to somebody, first."""


@dataclass(frozen=True)
class FaceReport:
    """What became of one detected face: restored, or why not."""

    face: Face
    restored: bool
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; pixels of the picture that was searched."""
        face = self.face
        return {
            "image_index": face.image_index,
            "box": [round(v, 2) for v in face.box],
            "landmarks": [[round(x, 2), round(y, 2)] for x, y in face.landmarks],
            "score": round(face.score, 4),
            "size": round(face.size, 1),
            "restored": self.restored,
            "why": self.why,
        }

    def __str__(self) -> str:
        """One line, such as ``face of 131 px at (220, 114), score 1.00: restored``."""
        x, y = self.face.centre
        fate = "restored" if self.restored else f"left as it is, {self.why}"
        return f"face of {self.face.size:.0f} px at ({x:.0f}, {y:.0f}), score {self.face.score:.2f}: {fate}"


def order_of(name: str, known: tuple[str, ...] = ORDERS) -> Callable[[Face], tuple[float, ...]]:
    """The sorting key of one of ``ORDERS``.

    Raises:
        OptionError: an order that is none of the ``known``.
    """
    if name not in known:
        raise OptionError(f"Found order {name!r}; expected one of {', '.join(known)}.")
    return _KEYS[name]


def select_faces(
    faces: Sequence[Face],
    *,
    order: str | None = None,
    point: tuple[float, float] = (0.5, 0.5),
    likeness: Sequence[float] | None = None,
    min_likeness: float = -1,
    min_face: float = 0,
    max_face: float = math.inf,
    mask: Tensor | None = None,
    indices: Collection[int] | None = None,
    max_faces: int | None = None,
) -> tuple[FaceReport, ...]:
    """Decide which faces are to be restored.

    Args:
        faces: of any number of images.
        order: one of ``SELECTION_ORDERS``, for the faces of each image; None keeps them as they are.
        point: for "nearest", as shares of width and height.
        likeness: of each face to somebody, see ``face_likeness``.
        min_likeness: the least likeness.
        min_face, max_face: the least and the greatest side of the box, in pixels.
        mask: [B, H, W] or [1, H, W], of the images' size: a face's centre has to lie where it exceeds 0.5.
        indices: which of the faces of each image that passed all of the above, from 0; None takes all.
        max_faces: how many of each image, the first ones; None takes all.

    Returns:
        A report for every face, image by image, in the order asked for.

    Raises:
        OptionError: an unknown order, or "most_alike" without ``likeness``.
    """
    pairs = list(zip(faces, likeness if likeness is not None else [1.0] * len(faces), strict=True))
    if order == "most_alike" and likeness is None:
        raise OptionError("Found no likeness to sort by; give a reference picture or another order.")
    if order is not None:
        key = _comparison(order, point)
        pairs.sort(key=lambda pair: (pair[0].image_index, *key(*pair)))
    reports: list[FaceReport] = []
    passed: Counter[int] = Counter()
    taken: Counter[int] = Counter()
    for face, like in pairs:
        why = _unfit(face, min_face, max_face, mask)
        if not why and like < min_likeness:
            why = f"not alike enough: {like:.2f} < {min_likeness:g}"
        if not why:
            number = passed[face.image_index]
            passed[face.image_index] += 1
            if indices is not None and number not in indices:
                why = f"number {number} was not asked for"
            elif max_faces is not None and taken[face.image_index] >= max_faces:
                why = f"beyond the first {max_faces}"
        if not why:
            taken[face.image_index] += 1
        reports.append(FaceReport(face, restored=not why, why=why))
    return tuple(reports)


def _comparison(order: str, point: tuple[float, float]) -> Callable[[Face, float], tuple[float, ...]]:
    """The sorting key of a face and its likeness."""
    if order == "nearest":
        return lambda face, like: (_distance(face, point),)
    if order == "most_alike":
        return lambda face, like: (-like,)
    key = order_of(order, SELECTION_ORDERS)
    return lambda face, like: key(face)


def _unfit(face: Face, min_face: float, max_face: float, mask: Tensor | None) -> str:
    """Why a face's size or place rules it out; empty if it doesn't."""
    if face.size < min_face:
        return f"smaller than min_face: {face.size:.0f} < {min_face:g} px"
    if face.size > max_face:
        return f"larger than max_face: {face.size:.0f} > {max_face:g} px"
    if mask is not None:
        height, width = face.image_size
        x, y = (min(max(round(v), 0), side - 1) for v, side in zip(face.centre, (width, height), strict=True))
        if mask[face.image_index if len(mask) > 1 else 0, y, x] <= 0.5:
            return "outside the mask"
    return ""


def _distance(face: Face, point: tuple[float, float]) -> float:
    """From a face's centre to a point in shares of the image's sides, in pixels."""
    height, width = face.image_size
    x, y = face.centre
    return math.hypot(x + 0.5 - point[0] * width, y + 0.5 - point[1] * height)
