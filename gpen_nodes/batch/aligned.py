"""Pictures that are one aligned face each: what the network gets of them, and what is written."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..crops import with_holes
from ..errors import FaceError
from ..faces import RestoreOptions, Verdict, judge_crop
from ..host import LocalHost
from ..images import resize, with_luma
from ..pipeline import check_aligned
from .results import Restored

__all__ = ["check_crop", "crop_for", "restored_crop"]


def check_crop(image: Tensor, options: RestoreOptions, host: LocalHost) -> None:
    """Make sure that a picture is an aligned face.

    Raises:
        FaceError: says what was found instead, and which options help.
    """
    try:
        check_aligned(image, options, host=host)
    except FaceError as error:
        raise FaceError(
            f"{error} Add --face_align to find and align the faces of a photo, or --force to restore it "
            "as it is."
        ) from error


def crop_for(task: str, image: Tensor, mask: Tensor | None, size: int) -> Tensor:
    """What a network of this task gets.

    Args:
        image: [1, H, W, 3] in [0, 1].
        mask: [1, H, W] in [0, 1], where the image is missing.

    Returns:
        [size, size, 3].
    """
    crop = resize(image, size, size)[0]
    if task == "inpaint" and mask is not None:
        return with_holes(crop, resize(mask[..., None], size, size)[0])
    return crop


def restored_crop(
    task: str, image: Tensor, mask: Tensor | None, crops: tuple[Tensor, Tensor], options: RestoreOptions
) -> Restored:
    """What is written of a picture that is one aligned face.

    A restored face, and one made of a map, has the model's size; a coloured or filled one keeps its own.

    Args:
        image, mask: as ``crop_for`` takes them.
        crops: [S, S, 3], before and after the network.
    """
    before, after = crops
    if task == "restore":
        return _judged(image, before, after, options)
    if task == "seg2face":
        return Restored(after[None], [_report(image)], [(None, before, after)])
    after = resize(after[None], *image.shape[1:3])
    if task == "colorize":
        after = with_luma(after, image)
    share = options.paste.strength * (1 if mask is None else mask[..., None])
    after = image + (after - image) * share
    return Restored(after, [_report(image)], [(None, image[0], after[0])])


def _judged(image: Tensor, before: Tensor, after: Tensor, options: RestoreOptions) -> Restored:
    seen = resize(before[None], *after.shape[:2])[0]
    verdict = judge_crop(seen, after, options)
    restored = torch.lerp(seen, verdict.face, options.paste.strength)
    return Restored(restored[None], [_report(image, verdict)], [(None, before, restored)])


def _report(image: Tensor, verdict: Verdict[Tensor] | None = None) -> dict[str, Any]:
    height, width = image.shape[1:3]
    face = {"box": [0, 0, width, height], "landmarks": None, "score": None, "size": float(min(width, height))}
    seen = (
        {"restored": True, "why": "", "judgement": None, "said": ""} if verdict is None else verdict.to_dict()
    )
    return face | {"image_index": 0, "selected": True} | seen
