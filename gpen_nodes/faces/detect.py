"""From pictures to faces."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..errors import OptionError
from ..images import as_batch
from ..torch_state import own_arithmetic
from .boxes import Detections, non_maximum
from .face import Face
from .select import order_of

__all__ = ["DETECTORS", "detect_faces"]

DETECTORS = ("mtcnn", "retinaface_mobile0.25", "retinaface_resnet50")
"""Names of the detectors. The first needs no download; the others run facexlib's RetinaFace."""


def detect_faces(
    image: Tensor,
    *,
    detector: str = "mtcnn",
    min_score: float = 0.9,
    min_face: float = 0,
    quarter_turns: bool = False,
    order: str = "size",
    max_faces: int | None = None,
    device: torch.device | str | None = None,
    weights: str | Path | None = None,
    check_interrupt: Callable[[], object] | None = None,
) -> tuple[Face, ...]:
    """Find the faces of an image or a batch.

    Args:
        image: [B, H, W, C] or [H, W, C] in [0, 1]; gray is fine, alpha is ignored, NaN reads as black.
        detector: one of ``DETECTORS``.
        min_score: the least score, in [0, 1].
        min_face: side of the smallest face, in pixels; 0 leaves it to the detector. MTCNN then looks for
            20 px and more, in pictures above 5.8 megapixels for proportionally larger ones.
        quarter_turns: also search the picture turned by 90°, 180° and 270°; four times the work.
        order: one of ``ORDERS``; ties go left to right, then top to bottom.
        max_faces: how many to keep in each image, the first in that order; None keeps all.
        device: where the detector runs; None takes the image's.
        weights: a file, or for MTCNN a folder, other than the default.
        check_interrupt: called before each image; what it raises ends the search.

    Returns:
        Faces of the first image, then of the second, and so on.

    Raises:
        OptionError: an option that makes no sense.
        ImageError: an unusable image.
        MissingWeightsError: the detector's weights, or facexlib, are not on this machine.
        CheckpointError: a damaged weight file.
    """
    _check(detector, min_score, min_face, max_faces)
    key = order_of(order)
    batch = as_batch(image)
    device = torch.device(device) if device is not None else batch.device
    find = _load(detector, device, None if weights is None else str(weights))
    faces: list[Face] = []
    with torch.inference_mode(), own_arithmetic(device):
        for index, picture in enumerate(batch[..., :3]):
            if check_interrupt is not None:
                check_interrupt()
            picture = picture.to(device).permute(2, 0, 1).expand(3, -1, -1)
            found = _search(find, picture, min_score, min_face, quarter_turns)
            own = [face for face in _faces(found, index, picture.shape[-2:]) if face.size >= min_face]
            faces += sorted(own, key=key)[:max_faces]
    return tuple(faces)


def _check(detector: str, min_score: float, min_face: float, max_faces: int | None) -> None:
    if detector not in DETECTORS:
        raise OptionError(f"Found detector {detector!r}; expected one of {', '.join(DETECTORS)}.")
    if not 0 <= min_score <= 1:
        raise OptionError(f"Found min_score {min_score}; expected a value in [0, 1].")
    if not min_face >= 0:
        raise OptionError(f"Found min_face {min_face}; expected a side in pixels, or 0.")
    if max_faces is not None and max_faces < 0:
        raise OptionError(f"Found max_faces {max_faces}; expected 0 or more, or None for all.")


@lru_cache(maxsize=4)
def _load(detector: str, device: torch.device, weights: str | None) -> Callable[..., Detections]:
    """A detector's networks, kept between calls: a few MB each (109 MB for ResNet-50)."""
    if detector == "mtcnn":
        from .mtcnn import Mtcnn

        return Mtcnn(device, weights)
    from .retinaface import RetinaFace

    return RetinaFace(detector, device, weights)


def _search(
    find: Callable[..., Detections], picture: Tensor, min_score: float, min_face: float, quarter_turns: bool
) -> Detections:
    """Detections in the picture; with ``quarter_turns``, in all four positions, mapped back and merged."""
    upright = find(picture, min_score, min_face)
    if not quarter_turns:
        return upright
    found = [upright]
    for turns in (1, 2, 3):
        turned = find(picture.rot90(turns, (1, 2)), min_score, min_face)
        found.append(_turned_back(turned, turns, picture.shape[-2:]))
    merged = Detections(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    return merged.take(non_maximum(merged.boxes, merged.scores, 0.4))


def _turned_back(found: Detections, turns: int, size: torch.Size) -> Detections:
    """Detections in a picture that ``rot90`` turned so many times, in pixels of the picture before."""
    height, width = size
    corners, points = found.boxes.view(-1, 2, 2), found.points
    for turn in range(turns, 0, -1):
        # The width of the picture before this quarter turn: rot90 sends x to width - 1 - x, then swaps axes.
        side = width if turn % 2 else height
        corners, points = (torch.stack([side - 1 - p[..., 1], p[..., 0]], dim=-1) for p in (corners, points))
    boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    return Detections(boxes, found.scores, points)


def _faces(found: Detections, index: int, size: torch.Size) -> list[Face]:
    """Detections as faces, boxes cut to the picture; those whose landmarks fix no position are left out."""
    height, width = size
    edges = found.boxes.new_tensor([width, height, width, height]) - 0.5
    boxes = found.boxes.clamp(min=-0.5).minimum(edges)
    spread = (found.points - found.points.mean(1, keepdim=True)).abs().amax((1, 2))
    usable = (spread > 0.5) & found.points.isfinite().all(2).all(1)
    return [
        Face(tuple(box), tuple((x, y) for x, y in points), min(max(score, 0.0), 1.0), index, (height, width))
        for box, points, score, fine in zip(
            boxes.tolist(), found.points.tolist(), found.scores.tolist(), usable.tolist(), strict=True
        )
        if fine
    ]
