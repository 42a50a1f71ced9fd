"""A picture of what the detector found."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from ..host import Host, interrupts_of
from ..images import as_rgb, from_uint8, to_uint8
from .face import DetectedFace

__all__ = ["draw_faces"]

_GREEN, _RED, _BLACK = (51, 255, 77), (255, 51, 51), (0, 0, 0)
_LETTERS = cv2.FONT_HERSHEY_SIMPLEX
_LETTER_HEIGHT = 22  # of that font at scale 1, in pixels
_BAND_ROWS = 512
_READABLE = 9  # pixels; smaller numbers would be none


def draw_faces(image: Tensor, faces: Sequence[DetectedFace], *, host: Host | None = None) -> Tensor:
    """Draw each face's box, landmarks and number among the faces of its image, as large as the face allows.

    Args:
        image: [B, H, W, C] or [H, W, C] in [0, 1], the one in which the faces were found; not modified.
        faces: in the order by which they are to be numbered, from 0.
        host: asked for interrupts before each band of rows.

    Returns:
        [B, H, W, 3] in 8 bits' values, on the CPU.

    Raises:
        ImageError: an unusable image.
    """
    batch, check = as_rgb(image), interrupts_of(host)
    drawn = torch.empty(batch.shape, dtype=torch.float32, device="cpu")
    for index, one in enumerate(batch):
        picture = np.empty(one.shape, np.uint8)
        bands = [slice(top, top + _BAND_ROWS) for top in range(0, len(one), _BAND_ROWS)]
        for rows in bands:
            check()
            picture[rows] = to_uint8(one[rows])
        for number, face in enumerate(face for face in faces if face.image_index == index):
            _draw(picture, face, str(number))
        for rows in bands:
            check()
            drawn[index, rows] = from_uint8(picture[rows])
    return drawn


def _draw(picture: np.ndarray, face: DetectedFace, number: str) -> None:
    x0, y0, x1, y1 = (round(v) for v in face.box)
    width = max(1, round(face.size / 60))
    cv2.rectangle(picture, (x0, y0), (x1, y1), _GREEN, width)
    for x, y in face.landmarks:
        cv2.circle(picture, (round(x), round(y)), max(1, round(face.size / 40)), _RED, -1)
    # On a ground of its own, inside the box: beside it the neighbour's hair may be, or its number.
    scale = max(face.size / 5, _READABLE) / _LETTER_HEIGHT
    (wide, high), _ = cv2.getTextSize(number, _LETTERS, scale, width)
    cv2.rectangle(picture, (x0, y0), (x0 + wide + 2 * width, y0 + high + 4 * width), _BLACK, -1)
    place = x0 + width, y0 + high + 2 * width
    cv2.putText(picture, number, place, _LETTERS, scale, _GREEN, width, cv2.LINE_AA)
