"""A batch of images restored part by part, so that a film takes little more memory than its frames."""
# pyright: reportMissingImports=false

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gpen_nodes import FaceReport, Restoration, Restorer, restore_image, stack_crops

from .host import ComfyHost

__all__ = ["restore_in_parts"]

_PART_BYTES = 32 << 20  # of images in float32: three frames of 720p


def restore_in_parts(
    image: Tensor,
    model: Restorer,
    host: ComfyHost,
    *,
    mask: Tensor | None,
    wants_crops: bool,
    wants_mask: bool,
    **options: Any,
) -> tuple[Tensor, Tensor | None, Tensor | None, str]:
    """``restore_image`` on any number of images: each gets what it would get alone.

    Args:
        image: [B, H, W, C].
        mask: [B, H, W] or None.
        options: as ``restore_image`` takes them.

    Returns:
        The images, the restored crops [N, S, S, 3] at the model's size, how much of each pixel is new
        [B, H, W], and what was done, for reading. Crops and mask, which take much memory of a film, are None
        where they aren't wanted.
    """
    count = max(1, _PART_BYTES // max(1, image[:1].numel() * 4))
    restored = changed = image  # of a single part its own results, without a copy
    if len(image) > count:
        restored = torch.empty(image.shape, dtype=torch.float32, device=image.device)
        changed = restored.new_empty(image.shape[:3]) if wants_mask else image
    crops: list[Tensor] = []
    reports: list[FaceReport] = []
    for first in range(0, max(1, len(image)), count):
        part = slice(first, min(first + count, len(image)))
        host.work_on(part, len(image))
        allowed = None if mask is None else mask[part]
        done = restore_image(image[part], model, mask=allowed, host=host, **options)
        if len(image) <= count:
            restored, changed = done.image, done.mask
        else:
            restored[part] = done.image
            if wants_mask:
                changed[part] = done.mask
        crops += [stack_crops(done.faces, model.size)] if wants_crops else []
        reports += [_moved(report, first) for report in done.reports]
    text = Restoration(restored, changed, (), (), tuple(reports)).text
    return restored, torch.cat(crops) if wants_crops else None, changed if wants_mask else None, text


def _moved(report: FaceReport, first: int) -> FaceReport:
    """A report whose image is counted in the whole batch."""
    return replace(report, face=replace(report.face, image_index=report.face.image_index + first))
