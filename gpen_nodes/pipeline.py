"""The whole way for images: find, align, restore, judge, paste back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .crops import restore_faces, with_holes
from .errors import FaceError, OptionError
from .faces import (
    AlignedFace,
    FaceChoice,
    FaceReport,
    JudgeOptions,
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
from .images import as_batch, as_rgb, with_luma
from .inference import Restorer, Restorers, covering_size
from .options import gather

__all__ = [
    "FoundFaces",
    "Restoration",
    "check_aligned",
    "check_task",
    "find_and_align",
    "judge_and_paste",
    "restore_image",
]

# A face that was coloured or filled is the model's alone: what the picture has there is what was wrong.
_MODELS_OWN = JudgeOptions(colour="model", keep_detail=0, keep_front=False, guard_identity=False)
_TRY = "a lower min_score, quarter_turns, a larger image or another detector may find one"
_SURE_ENOUGH = 0.7  # for one face that is expected: a restorer's input may be blurred


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """Images whose faces are ready to be restored.

    Attributes:
        image: [B, H, W, C] float32.
        choices: one for every face that was found.
        aligned: the selected faces with their crops.
        task: what is to become of them, one of ``TASKS``.
        mask: [B, H, W] in [0, 1], how far pasting is allowed; None is fully everywhere.
    """

    image: Tensor
    choices: tuple[FaceChoice, ...]
    aligned: tuple[AlignedFace, ...]
    task: str = "restore"
    mask: Tensor | None = None


@dataclass(frozen=True, eq=False)
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

    What becomes of a face is the network's task (``restorer.task``). A colouring one colours faces, and every
    pixel keeps its luma; one that fills paints what ``mask`` marks, and all else keeps its bits. What stays
    of a picture in a restored face (``JudgeOptions``) has no meaning for these two.

    Args:
        image: [B, H, W, C] or [H, W, C], C of 1, 3 or 4, in [0, 1].
        restorer: the network, see ``get_restorer``, or several for faces of different sizes.
        options: see ``RestoreOptions``. The fields of its parts are keywords, such as ``strength``,
            ``softness``, ``match_colour``, ``detector``, ``min_face``, ``max_faces``, ``order`` or
            ``template``.
        mask: [B, H, W], [1, H, W] or [H, W] in [0, 1], how far pasting is allowed; None is fully everywhere.
            A network that fills needs one: 1 where the picture is missing.
        host: device, progress and interrupts; None takes the best device of this machine.

    Returns:
        An image without faces comes back unchanged, and ``reports`` is empty.

    Raises:
        OptionError: an unknown option, a value that makes no sense, a mask of another size, or a network
            whose task is nothing for photos.
        ImageError: an unusable image.
    """
    options = gather(RestoreOptions, options, keywords)
    host = host or LocalHost()
    found = find_and_align(image, restorer.input_sizes, options, task=restorer.task, mask=mask, host=host)
    return judge_and_paste(found, restore_faces(restorer, found.aligned, host), options, host=host)


def find_and_align(
    image: Tensor,
    sizes: int | Sequence[int],
    options: RestoreOptions,
    *,
    task: str = "restore",
    mask: Tensor | None = None,
    host: Host,
) -> FoundFaces:
    """The first half of ``restore_image``, up to the network.

    Args:
        image, mask: as ``restore_image`` takes them.
        sizes: sides that crops may have, in pixels: each face gets the smallest that covers its own pixels.
        task: the network's.
    """
    check_task(task, mask, photo=True)
    batch = as_batch(image)
    if mask is not None and tuple(mask.shape[-2:]) != tuple(batch.shape[1:3]):
        found, expected = tuple(mask.shape), tuple(batch.shape[:3])
        raise OptionError(f"Found a mask of shape {found}; expected {expected} or {expected[1:]}.")
    if task == "colorize" and batch.shape[-1] == 1:
        batch = as_rgb(batch)
    choices = select_faces(find_faces(batch, options.detect, host=host), options.select)
    aligned = _aligned(batch, choices, sizes, options, host)
    if task == "inpaint" and mask is not None and aligned:
        marks = mask.to(batch).reshape(-1, *mask.shape[-2:], 1).expand(len(batch), -1, -1, -1)
        holes = _aligned(marks, choices, sizes, options, host)
        pairs = zip(aligned, holes, strict=True)
        aligned = tuple(replace(face, crop=with_holes(face.crop, hole.crop)) for face, hole in pairs)
    return FoundFaces(batch, tuple(choices), aligned, task, mask)


def _aligned(
    batch: Tensor,
    choices: Sequence[FaceChoice],
    sizes: int | Sequence[int],
    options: RestoreOptions,
    host: Host,
) -> tuple[AlignedFace, ...]:
    """The selected faces, each with a crop of the size that covers it."""
    sizes = (sizes,) if isinstance(sizes, int) else sizes
    aligned: list[AlignedFace] = []
    for face in (choice.face for choice in choices if choice.selected):
        side = covering_size(sizes, crop_pixels(face, options.align.template))
        aligned += align_faces(batch, [face], side, options.align, host=host)
    return tuple(aligned)


def check_task(task: str, mask: Tensor | None, *, photo: bool) -> None:
    """Make sure that a network's task is something for what it gets.

    Args:
        mask: as ``restore_image`` takes it.
        photo: whether it gets photos; else aligned crops.

    Raises:
        OptionError: says what to do instead.
    """
    if task == "seg2face" and photo:
        raise OptionError(
            "A seg2face model makes a face of a map of its parts, which nobody finds in a photo. Give it "
            "such maps as crops: restore_crops, or the command without --face_align."
        )
    if task == "inpaint" and mask is None:
        raise OptionError(
            "An inpaint model fills what a mask marks, and there is none. Give mask (in the command --mask), "
            "1 or white where the picture is missing."
        )


def judge_and_paste(
    found: FoundFaces,
    restored: Sequence[AlignedFace],
    options: RestoreOptions,
    *,
    host: Host | None = None,
) -> Restoration:
    """The second half of ``restore_image``; ``restored`` are the aligned faces, after the network."""
    if found.task != "restore":
        options = replace(options, judge=_MODELS_OWN)
    verdicts = judge_faces(found.image, found.aligned, restored, options, host=host)
    faces = tuple(verdict.face for verdict in verdicts if verdict.accepted)
    pasted, changed = paste_back(found.image, faces, options.paste, mask=found.mask, host=host)
    if found.task == "colorize":
        # Crops have been resampled: the photo's own luma is sharper than theirs.
        coloured = with_luma(pasted[..., :3], found.image[..., :3])
        pasted[..., :3] = torch.where(changed[..., None] > 0, coloured, pasted[..., :3])
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
