"""Aligned crops of any number of images: restored together, replaced by others, or marked to be filled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from .errors import ImageError
from .faces import AlignedFace, DetectedFace
from .faces.face import all_aligned
from .host import Host, LocalHost
from .images import as_rgb, check_range, resize
from .inference import Restorer, Restorers

__all__ = [
    "replace_crops",
    "restore_crops",
    "restore_each",
    "restore_faces",
    "stack_crops",
    "with_crops",
    "with_holes",
]

_MISSING = 0.02  # of a mask: a pixel that has taken this much of its neighbours' damage is missing, too


def restore_faces(
    restorer: Restorer | Restorers, faces: Sequence[DetectedFace], host: Host | None = None
) -> tuple[AlignedFace, ...]:
    """Restore aligned faces of any number of images together; gives them back with new crops.

    Of several networks, each face goes through the one that its crop's side asks for.

    Raises:
        FaceError: a face has not been aligned.
    """
    aligned = all_aligned(faces)
    return with_crops(aligned, restore_each(restorer, [face.crop for face in aligned], host))


def restore_each(
    restorer: Restorer | Restorers, crops: Sequence[Tensor], host: Host | None = None
) -> list[Tensor]:
    """Restore aligned crops of any sides, those of one side together.

    Args:
        crops: [S, S, C] in [0, 1] each.

    Returns:
        [size, size, 3] each, in the same order.

    Raises:
        ImageError, OutOfMemoryError: as ``restore_crops``.
    """
    sides = [len(crop) for crop in crops]
    restored: list[Tensor] = [*crops]
    for side in sorted(set(sides)):
        places = [place for place, own in enumerate(sides) if own == side]
        together = restore_crops(restorer, torch.stack([crops[place] for place in places]), host)
        for place, crop in zip(places, together, strict=True):
            restored[place] = crop
    return restored


def with_crops(faces: Sequence[AlignedFace], crops: Sequence[Tensor]) -> tuple[AlignedFace, ...]:
    """Aligned faces with other crops, [S, S, 3] each."""
    return tuple(
        dataclasses.replace(face, crop=crop, base=None) for face, crop in zip(faces, crops, strict=True)
    )


def stack_crops(faces: Sequence[AlignedFace], size: int = 0) -> Tensor:
    """The faces' crops as one batch.

    Args:
        faces: a crop of another side is resized.
        size: side of the crops in pixels; 0 takes the first one's.

    Returns:
        [N, S, S, 3] in [0, 1].
    """
    if not faces:
        return torch.zeros(0, size, size, 3)
    size = size or len(faces[0].crop)
    return torch.cat([resize(face.crop[None], size, size) for face in faces])


def replace_crops(faces: Sequence[DetectedFace], crops: Tensor) -> tuple[AlignedFace, ...]:
    """Give aligned faces other crops, such as those that another program has edited.

    Args:
        faces: aligned.
        crops: [N, S, S, C] in [0, 1], one for each face, of any side; alpha is ignored, gray made RGB.

    Raises:
        ImageError: not as many crops as faces, crops that are no squares, or another range.
        FaceError: a face has not been aligned.
    """
    aligned = all_aligned(faces)
    batch = as_rgb(crops)
    check_range(batch)
    if len(batch) != len(aligned) or batch.shape[1] != batch.shape[2]:
        raise ImageError(
            f"Found {len(batch)} crops of {batch.shape[2]}×{batch.shape[1]} px; expected one square for each "
            f"of {len(aligned)} faces, in their order."
        )
    return with_crops(aligned, [*batch])


def restore_crops(restorer: Restorer | Restorers, crops: Tensor, host: Host | None = None) -> Tensor:
    """Restore aligned crops.

    Args:
        crops: [N, S, S, C] in [0, 1]; alpha is ignored, gray made RGB.

    Returns:
        [N, size, size, 3] float32 in [0, 1], on the crops' device.

    Raises:
        ImageError: crops that are no squares, or of another range.
        OutOfMemoryError: not even one face fits into the device's memory.
    """
    crops = as_rgb(crops)
    check_range(crops)
    return restorer.restore(crops, host or LocalHost())


def with_holes(crop: Tensor, missing: Tensor) -> Tensor:
    """A crop [..., 3] that is white, as networks that fill were trained, where ``missing`` is above 0."""
    return torch.where(missing > _MISSING, 1.0, crop)
