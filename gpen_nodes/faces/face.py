"""The value that travels between detection, alignment, restoration and paste-back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Face", "Points"]

Points = tuple[tuple[float, float], ...]
"""Landmarks as (x, y) pixels: left eye, right eye, nose, left and right mouth corner, as the viewer sees."""


@dataclass(frozen=True, eq=False)
class Face:
    """One face of one image.

    Coordinates are pixels of the image that was searched, with integers at pixel centres (OpenCV's
    convention). A face starts with what detection knows; ``align_face`` adds ``crop`` and ``matrix``.

    Attributes:
        box: x0, y0, x1, y1.
        landmarks: five points.
        score: the detector's, in [0, 1].
        image_index: which image of the batch.
        image_size: (height, width) of that image, so that paste-back can tell how far it was scaled since.
        matrix: [2, 3] float64 on the CPU, from image to crop pixels, or None before alignment.
        crop: [S, S, 3] in [0, 1], or None before alignment. Restoring replaces it; its side may then be
            another.
        crop_size: side of the crop that ``matrix`` maps to, in pixels; 0 before alignment.
    """

    box: tuple[float, float, float, float]
    landmarks: Points
    score: float
    image_index: int
    image_size: tuple[int, int]
    matrix: Tensor | None = None
    crop: Tensor | None = None
    crop_size: int = 0

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
