"""What five landmarks say of a face: whether they are one at all, and how far it is turned to the side."""

from __future__ import annotations

import torch
from torch import Tensor

from .templates import ARCFACE_POINTS, Points

__all__ = ["contradicts_box", "misfit", "turned_aside"]

_BEYOND = 0.25  # of the box's side: so far landmarks lie outside at most
_LEAST = 0.15  # of the box's side: landmarks that are closer together are of something else


def misfit(points: Tensor) -> Tensor:
    """How far landmarks are from those of any upright or tilted face.

    Args:
        points: [N, 5, 2], five landmarks as (x, y).

    Returns:
        [N], the root of the mean squared distance to the mean face, moved, turned and scaled to fit best, as
        a share of the landmarks' own spread: 0 for the mean face, up to 1 for what is nothing like it.
    """
    face = torch.complex(*points.new_tensor(ARCFACE_POINTS).unbind(-1))
    found = torch.complex(*points.unbind(-1))
    face, found = face - face.mean(), found - found.mean(1, keepdim=True)
    fit = (found * face.conj()).sum(1).abs() / (found.abs().norm(dim=1) * face.abs().norm()).clamp(min=1e-9)
    return (1 - fit.square()).clamp(min=0).sqrt()


def contradicts_box(points: Tensor, boxes: Tensor) -> Tensor:
    """Whether landmarks can't be those of the face in the box: outside of it, or all in one corner.

    Args:
        points: [N, 5, 2].
        boxes: [N, 4], x0, y0, x1, y1, not cut to the image.

    Returns:
        [N] bool.
    """
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    side = (high - low).amax((1, 2))
    outside = torch.maximum(low - points, points - high).amax((1, 2))
    spread = (points.amax(1) - points.amin(1)).amax(1)
    return (outside > _BEYOND * side) | (spread < _LEAST * side)


def turned_aside(landmarks: Points) -> float:
    """How far a face is turned to the side: 0 from the front, about 0.4 half aside, 0.8 and more in profile.

    It is how far the nose lies beside the line from between the eyes to between the corners of the mouth, as
    a share of that line's length, which turning aside leaves alone.
    """
    left, right, nose, *corners = (complex(x, y) for x, y in landmarks)
    eyes = (left + right) / 2
    line = sum(corners) / 2 - eyes
    return abs(((nose - eyes) * line.conjugate()).imag) / max(abs(line) ** 2, 1e-9)
