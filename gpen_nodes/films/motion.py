"""How a face moves from one frame to the next: far more exact than two detections, which each err anew.

Lucas and Kanade's optical flow at a grid of points ("An iterative image registration technique", 1981, in
pyramids as OpenCV has it), and the turn, scale and shift that most of the points agree on. Points count as
they lie to the landmarks: a head that turns in perspective moves otherwise at its rim, and what is looked for
is how the landmarks move.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from torch import Tensor

from ..images import LUMA, to_uint8

__all__ = ["Box", "as_gray", "dense_flow", "motion_between", "moved_box", "moved_points"]

Box = tuple[float, float, float, float]

_SIDE = 128  # pixels to which a face is shrunk: noise disturbs larger ones more
_FACE = 8.0  # deviations of the landmarks: a face from brows to chin
_REACH = 1.6  # sides of the face that are looked at: how far it may move in a frame
_GRID = 8  # points across the grid
_GRID_SIDE = 5.0  # deviations of the landmarks; what lies beyond hardly counts
_WINDOW = 25  # pixels: a fifth of the face
_FEWEST = 12  # points that have to be found again
_AGREE = 3.0  # pixels: what is farther off is something else, such as a hand


def as_gray(image: Tensor) -> np.ndarray:
    """[1, H, W, C] in [0, 1] as luma [H, W] uint8."""
    one = image[0]
    return to_uint8(one[..., 0] if one.shape[-1] < 3 else one[..., :3] @ one.new_tensor(LUMA))


def motion_between(before: np.ndarray, after: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
    """The map from a face's place in one frame to that in the next.

    Args:
        before, after: luma [H, W] uint8.
        landmarks: [5, 2] pixels of the face in ``before``.

    Returns:
        [3, 3] float64: turn, uniform scale and shift of pixels; None where too little of the face is found
        again.
    """
    x, y = middle = landmarks.mean(0)
    spread = max(float(np.sqrt(np.square(landmarks - middle).mean())), 1.0)
    side = _FACE * spread
    left, top = (max(0, int(v - _REACH * side / 2)) for v in (x, y))
    right, bottom = (int(v + _REACH * side / 2) + 1 for v in (x, y))
    parts = [frame[top:bottom, left:right] for frame in (before, after)]
    if min(parts[0].shape) < _WINDOW:
        return None
    scale = min(1.0, _SIDE / side)
    if scale < 1:
        size = [max(_WINDOW, round(v * scale)) for v in parts[0].shape[::-1]]
        parts = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in parts]
    sx, sy = (
        (parts[0].shape[1] / (min(right, before.shape[1]) - left)),
        (parts[0].shape[0] / (min(bottom, before.shape[0]) - top)),
    )
    to_part = np.array([[sx, 0, sx * (0.5 - left) - 0.5], [0, sy, sy * (0.5 - top) - 0.5], [0, 0, 1]])
    steps = ((np.arange(_GRID) + 0.5) / _GRID - 0.5) * _GRID_SIDE * spread
    grid = np.stack(np.meshgrid(x + steps, y + steps), -1).reshape(-1, 2)
    weights = np.exp(-0.5 * np.square((grid - middle) / spread).sum(-1))
    found = _matched(parts[0], parts[1], moved_points(to_part, grid).astype(np.float32), weights)
    return None if found is None else np.linalg.inv(to_part) @ found @ to_part


def _matched(
    before: np.ndarray, after: np.ndarray, points: np.ndarray, weights: np.ndarray
) -> np.ndarray | None:
    flow: Any = {"winSize": (_WINDOW, _WINDOW), "maxLevel": 3}
    nothing: Any = None  # what OpenCV would start from
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, points, nothing, **flow)
    back, _, _ = cv2.calcOpticalFlowPyrLK(after, before, there, nothing, **flow)
    good = (found[:, 0] > 0) & (np.abs(back - points).max(1) < 1)  # a point that comes back was seen
    if good.sum() < _FEWEST:
        return None
    points, there, weights = points[good], there[good], weights[good]
    matrix, agree = cv2.estimateAffinePartial2D(points, there, ransacReprojThreshold=_AGREE)
    if matrix is None or agree.sum() < _FEWEST or not np.isfinite(matrix).all():
        return None
    agree = agree[:, 0] > 0
    return _similarity(points[agree], there[agree], weights[agree])


def _similarity(before: np.ndarray, after: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[3, 3], turn, scale and shift by weighted least squares; turn and scale are one complex factor."""
    z, w = (points.astype(np.float64) @ (1, 1j) for points in (before, after))
    z0, w0 = (np.average(values, weights=weights) for values in (z, w))
    factor = np.sum(weights * np.conj(z - z0) * (w - w0)) / np.sum(weights * np.abs(z - z0) ** 2)
    shift = w0 - factor * z0
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag], [0, 0, 1]]
    )


def dense_flow(finder: cv2.DISOpticalFlow, after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """[H, W, 2] pixels, where each point of ``after`` lies in ``before``; both luma [H, W] uint8."""
    start: Any = None  # nothing is known yet
    return finder.calc(after, before, start)


def moved_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[..., 2] points under a [3, 3] map."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def moved_box(matrix: np.ndarray, box: Box) -> Box:
    """A box whose middle and sides follow a map; it stays upright."""
    x0, y0, x1, y1 = box
    x, y = moved_points(matrix, np.array([(x0 + x1) / 2, (y0 + y1) / 2]))
    scale = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    half = scale * (x1 - x0) / 2, scale * (y1 - y0) / 2
    return float(x - half[0]), float(y - half[1]), float(x + half[0]), float(y + half[1])
