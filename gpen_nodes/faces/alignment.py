"""From a face in an image to the upright square crop that a network expects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from ..errors import FaceError
from ..host import Host, interrupts_of
from ..images import as_batch, check_range
from ..options import gather
from .face import AlignedFace, DetectedFace
from .geometry.resample import invert, warp
from .geometry.templates import similarity, template_points
from .options import AlignOptions

__all__ = ["align_face", "align_faces", "crop_pixels"]


def align_faces(
    images: Tensor,
    faces: Iterable[DetectedFace],
    size: int,
    options: AlignOptions | None = None,
    *,
    host: Host | None = None,
    **keywords: Any,
) -> tuple[AlignedFace, ...]:
    """Cut faces out of their images, upright and at the size that a network expects.

    Only the faces' regions are read, and where one shrinks it is anti-aliased.

    Args:
        images: [B, H, W, C] or [H, W, C] in [0, 1], those in which the faces were found, on any device. Gray
            is made RGB, alpha ignored.
        faces: what ``find_faces`` gave, or some of it.
        size: side of the crops in pixels, such as ``restorer.input_size``.
        options: see ``AlignOptions``, whose fields are keywords, too.
        host: asked for interrupts before each band of rows.

    Returns:
        The faces with ``crop`` [size, size, 3] in [0, 1] on the images' device.

    Raises:
        OptionError: an option that makes no sense, or a size below 1.
        FaceError: landmarks that fix no position, or of an image that the batch doesn't have.
        ImageError: unusable images.
    """
    options = gather(AlignOptions, options, keywords)
    batch = as_batch(images)
    aligned, check = [], interrupts_of(host)
    for face in faces:
        aligned.append(_aligned(batch, face, size, options, check))
    return tuple(aligned)


def crop_pixels(face: DetectedFace, template: str = "gpen") -> float:
    """Side of the square that a face's crop covers, in pixels of its image.

    Raises:
        FaceError: landmarks that fix no position.
    """
    return 1 / torch.linalg.vector_norm(similarity(face.landmarks, template_points(template, 1))[:, 0]).item()


def align_face(
    image: Tensor, face: DetectedFace, size: int, template: str = "gpen", border: str = "replicate"
) -> AlignedFace:
    """``align_faces`` for one face."""
    options = AlignOptions(template=template, border=border)
    return _aligned(as_batch(image), face, size, options, interrupts_of(None))


def _aligned(
    batch: Tensor, face: DetectedFace, size: int, options: AlignOptions, check: Callable[[], object]
) -> AlignedFace:
    matrix = similarity(face.landmarks, template_points(options.template, size))
    if not 0 <= face.image_index < len(batch):
        raise FaceError(f"A face of image {face.image_index} can't be in a batch of {len(batch)} images.")
    image = batch[face.image_index, :, :, :3].permute(2, 0, 1)
    crop = warp(image[None], invert(matrix), (size, size), options.border, check)[0]
    check_range(crop)  # the part that is used, which costs nothing beside a large image
    crop = crop.clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).contiguous()
    found = {one.name: getattr(face, one.name) for one in fields(DetectedFace)}
    return AlignedFace(**found, matrix=matrix, crop=crop, crop_size=size)
