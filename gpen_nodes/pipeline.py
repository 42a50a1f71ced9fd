"""The whole way for pictures: detect, align, restore, paste back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .crops import restore_faces
from .errors import FaceError
from .faces import Face, FaceReport, align_face, detect_faces, paste_back, select_faces, template_points
from .host import Host, LocalHost
from .images import as_batch
from .inference import Restorer

__all__ = ["Restoration", "check_aligned", "restore_image"]


@dataclass(frozen=True)
class Restoration:
    """Restored pictures and how they came to be.

    Attributes:
        image: [B, H, W, C] as the input.
        mask: [B, H, W], how much of each pixel comes from a restored face.
        faces: the restored faces with their crops, in the order asked for.
        aligned: the same faces with their crops before restoration.
        reports: one for every detected face.
    """

    image: Tensor
    mask: Tensor
    faces: tuple[Face, ...]
    aligned: tuple[Face, ...]
    reports: tuple[FaceReport, ...]

    @property
    def text(self) -> str:
        """What was done, for reading: a line for each face, and for each image without one."""
        lines = []
        for index in range(len(self.image)):
            own = [str(report) for report in self.reports if report.face.image_index == index]
            lines += [f"image {index}: {line}" for line in own or ["no face found, unchanged"]]
        return "\n".join(lines)


def restore_image(
    image: Tensor,
    restorer: Restorer,
    *,
    detector: str = "mtcnn",
    detector_weights: str | Path | None = None,
    template: str = "gpen",
    min_score: float = 0.9,
    quarter_turns: bool = False,
    min_face: float = 0,
    max_faces: int | None = None,
    order: str = "size",
    strength: float = 1.0,
    softness: float = 0.4,
    host: Host | None = None,
) -> Restoration:
    """Restore the faces of pictures.

    Args:
        image: [B, H, W, C] or [H, W, C], C of 1, 3 or 4, in [0, 1].
        restorer: the network; see ``get_restorer``.
        detector: see ``detect_faces``, as are ``min_score``, ``quarter_turns`` and ``order``.
        detector_weights: its file, where it is not in the usual place.
        template: where the network expects eyes, nose and mouth; see ``align_face``.
        min_face, max_faces: leave out small faces, and all beyond the first of each picture.
        strength: 0 leaves the picture as it is, 1 shows the restored face alone.
        softness: how far a pasted face fades out; see ``paste_back``.
        host: device, progress and interrupts; None takes the best device of this machine.

    Returns:
        A picture without faces comes back unchanged, and ``reports`` is empty.
    """
    host = host or LocalHost()
    batch = as_batch(image)
    found = detect_faces(
        batch,
        detector=detector,
        weights=detector_weights,
        min_score=min_score,
        quarter_turns=quarter_turns,
        order=order,
        device=host.device,
        check_interrupt=host.check_interrupt,
    )
    reports = select_faces(found, min_face=min_face, max_faces=max_faces)
    aligned = []
    for report in reports:
        if report.restored:
            host.check_interrupt()
            aligned.append(align_face(batch, report.face, restorer.input_size, template=template))
    restored = restore_faces(restorer, aligned, host)
    pasted, mask = paste_back(batch, restored, strength=strength, softness=softness)
    return Restoration(pasted, mask, restored, tuple(aligned), reports)


def check_aligned(crop: Tensor, *, template: str = "gpen", detector: str = "mtcnn") -> None:
    """Make sure that a picture is an aligned face: a face lies about where the template expects it.

    Args:
        crop: [S, S, C] or [1, S, S, C] in [0, 1]. The landmarks may be off by half of the eye distance, since
            a blurred face is found inexactly and templates differ.

    Raises:
        FaceError: says what was found instead.
    """
    batch = as_batch(crop)
    height, width = batch.shape[1:3]
    found = detect_faces(batch, detector=detector, min_score=0.7)
    if not found:
        raise FaceError("No face was found in this picture, where an aligned face crop is expected.")
    # A crop need not be square on disk: it will be resized to the model's square.
    expected = torch.tensor(template_points(template, 512))
    offsets = []
    for face in found:
        points = torch.tensor(face.landmarks) * torch.tensor([512 / width, 512 / height])
        offsets.append((points - expected).norm(dim=1).mean().item() / 107.4)
    if min(offsets) > 0.5:
        raise FaceError(
            f"A face was found, but {min(offsets):.1f} eye distances from where an aligned crop has it."
        )
