"""A picture of what the detector found."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from torch import Tensor

from ..images import as_rgb, from_uint8, to_uint8
from .face import DetectedFace

__all__ = ["draw_faces"]

_GREEN, _RED = (51, 255, 77), (255, 51, 51)


def draw_faces(image: Tensor, faces: Sequence[DetectedFace]) -> Tensor:
    """Draw each face's box, landmarks and number among the faces of its image.

    Args:
        image: [B, H, W, C] or [H, W, C] in [0, 1], the one in which the faces were found; not modified.
        faces: in the order by which they are to be numbered, from 0.

    Returns:
        [B, H, W, 3] in 8 bits' values, on the CPU.

    Raises:
        ImageError: an unusable image.
    """
    pictures = np.array(to_uint8(as_rgb(image)), order="C")
    width = max(1, round(max(pictures.shape[1:3]) / 300))
    for index, picture in enumerate(pictures):
        for number, face in enumerate(face for face in faces if face.image_index == index):
            x0, y0, x1, y1 = (round(v) for v in face.box)
            cv2.rectangle(picture, (x0, y0), (x1, y1), _GREEN, width)
            for x, y in face.landmarks:
                cv2.circle(picture, (round(x), round(y)), 2 * width, _RED, -1)
            place = x0 + 2 * width, y0 + 14 * width
            cv2.putText(picture, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, width / 2, _GREEN, width)
    return from_uint8(pictures)
