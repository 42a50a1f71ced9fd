"""From images to faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..host import Host, LocalHost, interrupts_of, resident, tell_stage
from ..images import as_batch, check_range
from ..options import gather
from ..torch_state import own_arithmetic
from .detectors import Detector, load_detector
from .face import DetectedFace
from .geometry.boxes import Detections, non_maximum
from .geometry.pose import contradicts_box, misfit
from .options import DetectOptions, SelectOptions
from .orders import sorting_key
from .selection import select_faces

__all__ = ["detect_faces", "find_faces"]

_UNLIKE = 0.4  # ``misfit`` from which on landmarks are those of no upright face
_TURNED_SCORE = 0.95  # of a face that lies on its side or stands on its head, where nobody asked for such
_TURNED_SIDE, _TURNED_PART = 24, 32  # the smallest of them: pixels, and parts of the image's shorter side


def find_faces(
    images: Tensor, options: DetectOptions | None = None, *, host: Host | None = None, **keywords: Any
) -> tuple[DetectedFace, ...]:
    """Find the faces of an image or a batch.

    Args:
        images: [B, H, W, C] or [H, W, C] in [0, 1]; gray is fine, alpha is ignored, NaN reads as black.
        options: see ``DetectOptions``, whose fields are keywords, too.
        host: where the detector runs; told of each image, asked for interrupts all the time. None takes the
            images' device.

    Returns:
        Faces of the first image, the largest first, then of the second, and so on. Of the same size, the
        left one comes first, then the upper one.

    Raises:
        OptionError: an option that makes no sense.
        ImageError: unusable images.
        MissingWeightsError: the detector's weights, or facexlib, are not on this machine.
        CheckpointError: a damaged weight file.
    """
    options = gather(DetectOptions, options, keywords)
    batch = as_batch(images)
    check_range(batch)
    device = torch.device(host.device if host is not None else batch.device)
    weights = options.detector_weights
    find = load_detector(options.detector, device, None if weights is None else str(weights))
    largest = sorting_key("size")
    check = interrupts_of(host)
    faces: list[DetectedFace] = []
    held = resident(host or LocalHost(device), find.module, find.working_bytes)
    with held, torch.inference_mode(), own_arithmetic(device):
        for index, image in enumerate(batch[..., :3]):
            tell_stage(host, "Detecting faces", index, len(batch))
            image = image.to(device).permute(2, 0, 1).expand(3, -1, -1)
            found = _search(find, image, options, check)
            faces += sorted(_faces(found, index, image.shape[-2:]), key=lambda face: largest(face, 1))
        tell_stage(host, "Detecting faces", len(batch), len(batch))
    return tuple(faces)


def detect_faces(
    image: Tensor,
    *,
    order: str = "size",
    min_face: float = 0,
    max_faces: int | None = None,
    device: torch.device | str | None = None,
    weights: str | Path | None = None,
    check_interrupt: Callable[[], object] | None = None,
    **keywords: Any,
) -> tuple[DetectedFace, ...]:
    """``find_faces`` and ``select_faces`` in one call, for whoever needs no report.

    Args:
        image: as ``find_faces`` takes it.
        order, max_faces: see ``SelectOptions``.
        min_face: side of the smallest face, in pixels; smaller ones are not even looked for. 0 leaves it to
            the detector.
        device: where the detector runs; None takes the image's.
        weights: as ``detector_weights`` of ``DetectOptions``.
        check_interrupt: called many times an image; what it raises ends the search.
        keywords: other fields of ``DetectOptions``.
    """
    choice = SelectOptions(order=order, min_face=min_face, max_faces=max_faces)
    keywords = {"detector_weights": weights, "smallest": min_face, **keywords}
    batch = as_batch(image)
    host = _Caller(batch.device if device is None else device, check_interrupt)
    found = find_faces(batch, host=host, **keywords)
    return tuple(report.face for report in select_faces(found, choice) if report.selected)


class _Caller(LocalHost):
    """A host made of what ``detect_faces`` was given."""

    def __init__(self, device: torch.device | str, check_interrupt: Callable[[], object] | None) -> None:
        super().__init__(str(device))
        self._check = check_interrupt

    def check_interrupt(self) -> None:
        if self._check is not None:
            self._check()


def _search(find: Detector, image: Tensor, options: DetectOptions, check: Callable[[], object]) -> Detections:
    """Detections in the image; with ``quarter_turns``, or by need, in all four positions, merged."""
    upright = _sound(find(image, options.min_score, options.smallest, check))
    likely = misfit(upright.points) < _UNLIKE
    score, smallest = options.min_score, options.smallest
    if not options.quarter_turns:
        if len(likely) and likely.all():
            return upright
        # Nobody has said that there is such a face: it has to be a clear one, and isn't the smallest.
        score = max(score, _TURNED_SCORE)
        smallest = max(smallest, _TURNED_SIDE, min(image.shape[-2:]) / _TURNED_PART)
    found = [upright]
    for turns in (1, 2, 3):
        turned = _sound(find(image.rot90(turns, (1, 2)), score, smallest, check))
        turned = turned.take(misfit(turned.points) < _UNLIKE)
        found.append(_turned_back(turned, turns, image.shape[-2:]))
    merged = Detections(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    # What fits no face counts least against a face of another position.
    worth = merged.scores - (misfit(merged.points) >= _UNLIKE).to(merged.scores)
    return merged.take(non_maximum(merged.boxes, worth, 0.4))


def _sound(found: Detections) -> Detections:
    return found.take(~contradicts_box(found.points, found.boxes))


def _turned_back(found: Detections, turns: int, size: torch.Size) -> Detections:
    """Detections in an image that ``rot90`` turned so many times, in pixels of the image before."""
    height, width = size
    corners, points = found.boxes.view(-1, 2, 2), found.points
    for turn in range(turns, 0, -1):
        # The width of the image before this quarter turn: rot90 sends x to width - 1 - x, then swaps axes.
        side = width if turn % 2 else height
        corners, points = (torch.stack([side - 1 - p[..., 1], p[..., 0]], dim=-1) for p in (corners, points))
    boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    return Detections(boxes, found.scores, points)


def _faces(found: Detections, index: int, size: torch.Size) -> list[DetectedFace]:
    """Detections as faces, boxes cut to the image; those whose landmarks fix no position are left out."""
    height, width = size
    edges = found.boxes.new_tensor([width, height, width, height]) - 0.5
    boxes = found.boxes.clamp(min=-0.5).minimum(edges)
    spread = (found.points - found.points.mean(1, keepdim=True)).abs().amax((1, 2))
    usable = (spread > 0.5) & found.points.isfinite().all(2).all(1)
    return [
        DetectedFace(
            tuple(box), tuple((x, y) for x, y in points), min(max(score, 0.0), 1.0), index, (height, width)
        )
        for box, points, score, fine in zip(
            boxes.tolist(), found.points.tolist(), found.scores.tolist(), usable.tolist(), strict=True
        )
        if fine
    ]
