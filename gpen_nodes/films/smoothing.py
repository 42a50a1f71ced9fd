"""Landmarks smoothed along a track, forward and backward: without delay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .motion import moved_points

__all__ = ["eased", "smoothed_landmarks"]

_WIDTH = 0.2  # seconds: the deviation of the Gaussian, 5 frames of 25 in a second
_TUKEY = 4.0  # times the median error: a landmark that is farther off counts nothing


def smoothed_landmarks(
    times: np.ndarray, paths: np.ndarray, seen: np.ndarray, landmarks: np.ndarray
) -> np.ndarray:
    """Landmarks for each frame of a track, those in which no face was found included.

    The motion from frame to frame, which is exact, is taken out of the landmarks first. What is left hardly
    changes: a local straight line through it (Cleveland, "Robust locally weighted regression", 1979,
    doi:10.1080/01621459.1979.10481038) takes the detector's error away, and the motion is put back, however
    much the camera shakes.

    Args:
        times: [N] of the frames in seconds.
        paths: [N, 3, 3], maps from the first frame's pixels to each frame's.
        seen: [M] numbers of the frames in which the face was found.
        landmarks: [M, 5, 2] pixels of those frames.

    Returns:
        [N, 5, 2].
    """
    still = np.stack([moved_points(np.linalg.inv(paths[i]), p) for i, p in zip(seen, landmarks, strict=True)])
    weights = np.ones(len(seen))
    for last in (False, True):
        lines = np.stack([_line(times[seen], still, weights, time) for time in times])
        if last:
            break
        errors = np.abs(lines[seen] - still).mean((1, 2))
        limit = _TUKEY * max(float(np.median(errors)), 1e-6)
        weights = np.clip(1 - (errors / limit) ** 2, 1e-6, 1) ** 2
    return np.stack([moved_points(path, points) for path, points in zip(paths, lines, strict=True)])


def _line(times: np.ndarray, values: np.ndarray, weights: np.ndarray, time: float) -> np.ndarray:
    """The value at ``time`` of the straight line that fits best around it."""
    near = slice(*np.searchsorted(times, [time - 4 * _WIDTH, time + 4 * _WIDTH]))
    distance = times[near] - time
    weight = weights[near] * np.exp(-0.5 * (distance / _WIDTH) ** 2) + 1e-12
    total, first, second = (float((weight * distance**power).sum()) for power in range(3))
    spread = total * second - first**2
    if spread <= 1e-9 * total**2:  # one frame alone
        return np.tensordot(weight / total, values[near], 1)
    weight = weight * (second - first * distance) / spread
    return np.tensordot(weight, values[near], 1)


def eased(times: Sequence[float], starts: bool, ends: bool, seconds: float) -> np.ndarray:
    """How far a face that comes and goes is restored, [N] in (0, 1].

    Args:
        times: of its frames.
        starts, ends: whether it comes and goes within a shot; at a cut nothing has to be eased.
        seconds: that it takes.
    """
    since = np.asarray(times) - times[0] if starts else np.full(len(times), np.inf)
    left = times[-1] - np.asarray(times) if ends else np.full(len(times), np.inf)
    # The first frame counts as if it were one of many: half of a step in.
    step = float(np.diff(times).mean()) / 2 if len(times) > 1 else seconds
    share = np.clip((np.minimum(since, left) + step) / seconds, 0, 1)
    return share * share * (3 - 2 * share)
