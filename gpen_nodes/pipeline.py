"""The whole way for images: find, align, restore, judge, paste back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .crops import restore_faces
from .errors import FaceError
from .faces import (
    AlignedFace,
    FaceChoice,
    FaceReport,
    RestoreOptions,
    align_faces,
    crop_pixels,
    find_faces,
    judge_faces,
    paste_back,
    report_faces,
    select_faces,
    template_points,
)
from .host import Host, LocalHost
from .images import as_batch
from .inference import Restorer, Restorers, covering_size
from .options import gather

__all__ = ["FoundFaces", "Restoration", "check_aligned", "find_and_align", "judge_and_paste", "restore_image"]

_TRY = "a lower min_score, quarter_turns, a larger image or another detector may find one"
_SURE_ENOUGH = 0.7  # for one face that is expected: a restorer's input may be blurred


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """Images whose faces are ready to be restored.

    Attributes:
        image: [B, H, W, C] float32.
        choices: one for every face that was found.
        aligned: the selected faces with their crops.
    """

    image: Tensor
    choices: tuple[FaceChoice, ...]
    aligned: tuple[AlignedFace, ...]


@dataclass(frozen=True)
class Restoration:
    """Restored images and how they came to be.

    Attributes:
        image: [B, H, W, C] as the input.
        mask: [B, H, W], how much of each pixel comes from a restored face.
        faces: the faces that were pasted, with their restored crops, in the order asked for.
        aligned: the same faces with their crops before restoration.
        reports: one for every face that was found.
    """

    image: Tensor
    mask: Tensor
    faces: tuple[AlignedFace, ...]
    aligned: tuple[AlignedFace, ...]
    reports: tuple[FaceReport, ...]

    @property
    def text(self) -> str:
        """What was done, for reading: a line for each face, and for each image without one.

        The faces of an image are numbered from 0, as ``draw_faces`` and ``indices`` number them.
        """
        lines = []
        for index in range(len(self.image)):
            own = [report for report in self.reports if report.face.image_index == index]
            found = [f"{number}: {report}" for number, report in enumerate(own)]
            lines += [f"image {index}, {line}" for line in found]
            lines += [] if found else [f"image {index}: no face found, unchanged ({_TRY})"]
        return "\n".join(lines)


def restore_image(
    image: Tensor,
    restorer: Restorer | Restorers,
    options: RestoreOptions | None = None,
    *,
    mask: Tensor | None = None,
    host: Host | None = None,
    **keywords: Any,
) -> Restoration:
    """Restore the faces of images: the five steps, which are public themselves, in one call.

    Args:
        image: [B, H, W, C] or [H, W, C], C of 1, 3 or 4, in [0, 1].
        restorer: the network, see ``get_restorer``, or several for faces of different sizes.
        options: see ``RestoreOptions``. The fields of its parts are keywords, such as ``strength``,
            ``softness``, ``match_colour``, ``detector``, ``min_face``, ``max_faces``, ``order`` or
            ``template``.
        mask: [B, H, W], [1, H, W] or [H, W] in [0, 1], how far pasting is allowed; None is fully everywhere.
        host: device, progress and interrupts; None takes the best device of this machine.

    Returns:
        An image without faces comes back unchanged, and ``reports`` is empty.

    Raises:
        OptionError: an unknown option, a value that makes no sense, or a mask of another size.
        ImageError: an unusable image.
    """
    options = gather(RestoreOptions, options, keywords)
    host = host or LocalHost()
    found = find_and_align(image, restorer.input_sizes, options, host=host)
    return judge_and_paste(found, restore_faces(restorer, found.aligned, host), options, mask=mask, host=host)


def find_and_align(
    image: Tensor, sizes: int | Sequence[int], options: RestoreOptions, *, host: Host
) -> FoundFaces:
    """The first half of ``restore_image``, up to the network.

    Args:
        image: as ``restore_image`` takes it.
        sizes: sides that crops may have, in pixels: each face gets the smallest that covers its own pixels.
    """
    batch = as_batch(image)
    choices = select_faces(find_faces(batch, options.detect, host=host), options.select)
    sizes = (sizes,) if isinstance(sizes, int) else sizes
    aligned: list[AlignedFace] = []
    for choice in choices:
        if choice.selected:
            side = covering_size(sizes, crop_pixels(choice.face, options.align.template))
            aligned += align_faces(batch, [choice.face], side, options.align, host=host)
    return FoundFaces(batch, tuple(choices), tuple(aligned))


def judge_and_paste(
    found: FoundFaces,
    restored: Sequence[AlignedFace],
    options: RestoreOptions,
    *,
    mask: Tensor | None = None,
    host: Host | None = None,
) -> Restoration:
    """The second half of ``restore_image``; ``restored`` are the aligned faces, after the network."""
    verdicts = judge_faces(found.image, found.aligned, restored, options)
    faces = tuple(verdict.face for verdict in verdicts if verdict.accepted)
    pasted, changed = paste_back(found.image, faces, options.paste, mask=mask, host=host)
    before = tuple(face for face, verdict in zip(found.aligned, verdicts, strict=True) if verdict.accepted)
    return Restoration(pasted, changed, faces, before, tuple(report_faces(found.choices, verdicts)))


def check_aligned(
    crop: Tensor, options: RestoreOptions | None = None, *, host: Host | None = None, **keywords: Any
) -> None:
    """Make sure that an image is an aligned face: a face lies about where the template expects it.

    Args:
        crop: [S, S, C] or [1, S, S, C] in [0, 1]. The landmarks may be off by half of the eye distance, since
            a blurred face is found inexactly and templates differ.
        options: see ``RestoreOptions``, whose parts' fields are keywords, too: those that find and align
            faces count. A face needs no higher score than 0.7.
        host: where the detector runs; None takes the crop's device.

    Raises:
        FaceError: says what was found instead.
    """
    options = gather(RestoreOptions, options, keywords)
    batch = as_batch(crop)
    height, width = batch.shape[1:3]
    least = min(options.detect.min_score, _SURE_ENOUGH)
    found = find_faces(batch, options.detect, host=host, min_score=least)
    if not found:
        raise FaceError("No face was found in this image, where an aligned face crop is expected.")
    # A crop need not be square on disk: it will be resized to the model's square.
    expected = torch.tensor(template_points(options.align.template, 512))
    eye_distance = (expected[0] - expected[1]).norm()
    offsets = []
    for face in found:
        points = torch.tensor(face.landmarks) * torch.tensor([512 / width, 512 / height])
        offsets.append(((points - expected).norm(dim=1).mean() / eye_distance).item())
    if min(offsets) > 0.5:
        raise FaceError(
            f"A face was found, but {min(offsets):.1f} eye distances from where an aligned crop has it."
        )
