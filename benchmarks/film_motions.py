"""Films with known motion, made of photos: pan, zoom, turn, shake; each frame degraded with its own noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from gpen_nodes import DegradationValues, apply_degradation, find_faces, from_uint8

__all__ = ["LEVELS", "MOTIONS", "Made", "make_film"]

SIZE = 480, 640
LEVELS = {
    "mild": DegradationValues(scale=2, blur_sigma=0.8, noise_sigma=4, jpeg_quality=75),
    "strong": DegradationValues(scale=4, blur_sigma=1.5, noise_sigma=8, jpeg_quality=60),
}


def _pan(t: np.ndarray) -> np.ndarray:
    return np.stack([120 * (t - 0.5), 20 * np.sin(6 * t), 0 * t, 0 * t + 1, 0 * t], -1)


def _zoom(t: np.ndarray) -> np.ndarray:
    return np.stack([0 * t, 0 * t, 0 * t, 0.85 + 0.5 * t, 0 * t], -1)


def _turn(t: np.ndarray) -> np.ndarray:
    return np.stack([20 * np.sin(5 * t), 0 * t, 0.25 * np.sin(4 * t), 0 * t + 1, 0.0012 * np.sin(6 * t)], -1)


def _shake(t: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(7)
    shifts = rng.normal(0, 1, (len(t) + 2, 3))
    smooth = (shifts[2:] + 2 * shifts[1:-1] + shifts[:-2]) / 4
    return np.stack([8 * smooth[:, 0], 6 * smooth[:, 1], 0.02 * smooth[:, 2], 0 * t + 1, 0 * t], -1)


MOTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "pan": _pan,
    "zoom": _zoom,
    "turn": _turn,
    "shake": _shake,
}
"""x, y, angle, scale and perspective of each frame, from the film's share in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Made:
    """A film and the truth about it.

    Attributes:
        frames: [N, H, W, 3] degraded.
        truth: [N, H, W, 3].
        maps: [N, 3, 3] from the photo's to the frames' pixels.
        landmarks: [5, 2] in the photo.
    """

    frames: Tensor
    truth: Tensor
    maps: np.ndarray
    landmarks: np.ndarray


def make_film(photo: np.ndarray, motion: str, level: str, count: int, face: float = 180) -> Made:
    """A film of one photo [H, W, 3] uint8, whose largest face has a box of about ``face`` pixels."""
    found = find_faces(from_uint8(photo))[0]
    scale = face / found.size
    if scale < 1:  # so that sampling does not alias
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found = find_faces(from_uint8(photo))[0]
        scale = face / found.size
    height, width = SIZE
    x, y = found.centre
    maps = []
    for dx, dy, angle, zoom, tilt in MOTIONS[motion](np.linspace(0, 1, count)):
        cos, sin = scale * zoom * np.cos(angle), scale * zoom * np.sin(angle)
        move = np.array([[cos, -sin, width / 2 + dx], [sin, cos, height / 2 + dy], [0, 0, 1]])
        tilted = np.array([[1, 0, 0], [0, 1, 0], [tilt, 0, 1]])
        maps.append(move @ tilted @ np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]]))
    warped = [
        cv2.warpPerspective(photo, m, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        for m in maps
    ]
    truth = from_uint8(np.stack(warped))
    values = [replace(LEVELS[level], noise_seed=seed) for seed in range(count)]
    frames = torch.stack([apply_degradation(one, v) for one, v in zip(truth, values, strict=True)])
    return Made(frames, truth, np.stack(maps), np.array(found.landmarks))
