"""Aligned crops of any number of pictures: restored together, or replaced by others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from .errors import FaceError, ImageError
from .faces import Face
from .host import Host, LocalHost
from .images import as_rgb
from .inference import Restorer

__all__ = ["replace_crops", "restore_crops", "restore_faces"]


def restore_faces(restorer: Restorer, faces: Sequence[Face], host: Host | None = None) -> tuple[Face, ...]:
    """Restore aligned faces of any number of pictures together; gives them back with new crops.

    Raises:
        FaceError: a face has not been aligned.
    """
    crops = [face.crop for face in faces if face.crop is not None]
    if len(crops) != len(faces):
        raise FaceError("A face without a crop was given; expected faces that align_face has aligned.")
    if not crops:
        return ()
    return replace_crops(faces, restore_crops(restorer, torch.stack(crops), host))


def replace_crops(faces: Sequence[Face], crops: Tensor) -> tuple[Face, ...]:
    """Give aligned faces other crops, such as those that another program has edited.

    Args:
        faces: aligned.
        crops: [N, S, S, C] in [0, 1], one for each face, of any side; alpha is ignored, gray made RGB.

    Raises:
        ImageError: not as many crops as faces, or crops that are no squares.
    """
    batch = as_rgb(crops)
    if len(batch) != len(faces) or batch.shape[1] != batch.shape[2]:
        raise ImageError(
            f"Found {len(batch)} crops of {batch.shape[2]}×{batch.shape[1]} px; expected one square for each "
            f"of {len(faces)} faces, in their order."
        )
    return tuple(dataclasses.replace(face, crop=crop) for face, crop in zip(faces, batch, strict=True))


def restore_crops(restorer: Restorer, crops: Tensor, host: Host | None = None) -> Tensor:
    """Restore aligned crops.

    Args:
        crops: [N, S, S, C] in [0, 1]; alpha is ignored, gray made RGB.

    Returns:
        [N, size, size, 3] float32 in [0, 1], on the crops' device.

    Raises:
        ImageError: crops that are no squares.
        OutOfMemoryError: not even one face fits into the device's memory.
    """
    return restorer.restore(as_rgb(crops), host or LocalHost())
