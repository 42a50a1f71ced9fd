"""Aligned crops of any number of pictures: restored together, or replaced by others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import FaceError, ImageError
from .faces import Face
from .host import Host, LocalHost
from .images import as_rgb
from .restorer import Restorer

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
    """Restore aligned crops; where memory runs out, in halves, down to one face at a time.

    Args:
        crops: [N, S, S, C] in [0, 1]; alpha is ignored, gray made RGB.

    Returns:
        [N, size, size, 3] float32 in [0, 1], on the crops' device.

    Raises:
        ImageError: crops that are no squares.
        RuntimeError: the device's own, if not even one face fits.
    """
    return _in_halves(restorer, as_rgb(crops), host or LocalHost(), 0, len(crops))


def _in_halves(restorer: Restorer, crops: Tensor, host: Host, done: int, total: int) -> Tensor:
    try:
        return restorer.restore(crops, _Part(host, done, total))
    except RuntimeError as error:
        if len(crops) == 1 or not _is_out_of_memory(error):
            raise
    # Only here are the error and the tensors gone that its traceback held.
    first, second = crops.tensor_split(2)
    restored = _in_halves(restorer, first, host, done, total)
    return torch.cat([restored, _in_halves(restorer, second, host, done + len(first), total)])


def _is_out_of_memory(error: RuntimeError) -> bool:
    """CUDA has a class of its own; other devices, and CUDA's late reports, only say so."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in str(error).lower()


@dataclass(frozen=True)
class _Part:
    """The host, told of a part of the faces as a part."""

    host: Host
    done: int
    total: int

    @property
    def device(self) -> torch.device:
        return self.host.device

    def place(self, module: torch.nn.Module, memory_required: int) -> None:
        self.host.place(module, memory_required)

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        self.host.progress(self.done + done, self.total, preview)

    def check_interrupt(self) -> None:
        self.host.check_interrupt()
