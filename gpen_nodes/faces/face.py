"""The values that travel from detection over alignment and restoration to paste-back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..errors import FaceError
from .geometry.templates import Points

__all__ = ["AlignedFace", "DetectedFace", "all_aligned"]


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """One face of one image, as a detector found it.

    Coordinates are pixels of the image that was searched, with integers at pixel centres (OpenCV's
    convention).

    Attributes:
        box: x0, y0, x1, y1.
        landmarks: five points.
        score: the detector's, in [0, 1].
        image_index: which image of the batch.
        image_size: (height, width) of that image, so that paste-back can tell how far it was scaled since.
    """

    box: tuple[float, float, float, float]
    landmarks: Points
    score: float
    image_index: int
    image_size: tuple[int, int]

    @property
    def size(self) -> float:
        """Side of the box in pixels: the square root of its area."""
        x0, y0, x1, y1 = self.box
        return (max(0.0, x1 - x0) * max(0.0, y1 - y0)) ** 0.5

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of the box's middle."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; pixels of the image that was searched."""
        return {
            "image_index": self.image_index,
            "box": [round(v, 2) for v in self.box],
            "landmarks": [[round(x, 2), round(y, 2)] for x, y in self.landmarks],
            "score": round(self.score, 4),
            "size": round(self.size, 1),
        }

    def __str__(self) -> str:
        """Such as ``face of 131 px at (220, 114), score 1.00``."""
        x, y = self.centre
        return f"face of {self.size:.0f} px at ({x:.0f}, {y:.0f}), score {self.score:.2f}"


@dataclass(frozen=True, eq=False)
class AlignedFace(DetectedFace):
    """A face with its upright crop, before or after restoration.

    Attributes:
        matrix: [2, 3] float64 on the CPU, from image to crop pixels.
        crop: [S, S, 3] in [0, 1]. Restoring replaces it; its side may then be another.
        crop_size: side of the crop that ``matrix`` maps to, in pixels.
        base: [S, S, 3] in [0, 1], the picture as it was where the crop lies. Paste-back then adds the
            difference to it: what a crop leaves alone stays in the image to the last bit. None, pasting
            replaces what is there.
    """

    matrix: Tensor = field(repr=False)
    crop: Tensor = field(repr=False)
    crop_size: int
    base: Tensor | None = field(default=None, repr=False)


def all_aligned(faces: Iterable[DetectedFace]) -> list[AlignedFace]:
    """The same faces, once it is certain that each has been aligned.

    Raises:
        FaceError: one hasn't.
    """
    aligned: list[AlignedFace] = []
    for face in faces:
        if not isinstance(face, AlignedFace):
            raise FaceError(
                f"Found {type(face).__name__}, which has no crop; expected an AlignedFace. "
                "Align faces with align_faces first."
            )
        aligned.append(face)
    return aligned
