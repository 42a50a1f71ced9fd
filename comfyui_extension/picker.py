"""What the page shows of the faces that were found, to click on: web/faces.js."""
# pyright: reportMissingImports=false

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import Any

import folder_paths
from PIL import Image
from torch import Tensor

from gpen_nodes import DetectedFace, to_uint8

__all__ = ["shown_in_page"]

_SIDE = 1024


def shown_in_page(image: Tensor, faces: Sequence[DetectedFace]) -> dict[str, Any]:
    """The first image with faces, small, and their boxes in the order of their numbers.

    Numbers count for each image, so that one image is enough to pick them by.

    Returns:
        Boxes in shares of the image's sides: plain values, as a node's ``ui`` takes them; an empty list
        where there is no face.
    """
    if not faces:
        return {"gpen_faces": []}
    index, (height, width) = faces[0].image_index, faces[0].image_size
    step = max(1, max(height, width) // (4 * _SIDE))  # of an 8K image all pixels would take a second
    picture = Image.fromarray(to_uint8(image[index, ::step, ::step, :3].expand(-1, -1, 3)))
    picture.thumbnail((_SIDE, _SIDE))
    name = f"gpen_{uuid.uuid4().hex}.jpg"
    folder = folder_paths.get_temp_directory()
    os.makedirs(folder, exist_ok=True)
    picture.save(os.path.join(folder, name))
    boxes = [
        [(x0 + 0.5) / width, (y0 + 0.5) / height, (x1 + 0.5) / width, (y1 + 0.5) / height]
        for x0, y0, x1, y1 in (face.box for face in faces if face.image_index == index)
    ]
    shown = {"filename": name, "subfolder": "", "type": "temp", "boxes": boxes}
    return {"gpen_faces": [shown]}
