"""Where landmarks belong in an upright crop, and the map that takes them there."""

from __future__ import annotations

import math
from types import MappingProxyType

import torch
from torch import Tensor

from ...errors import FaceError, OptionError

__all__ = ["ARCFACE_POINTS", "TEMPLATES", "Points", "similarity", "template_points"]

Points = tuple[tuple[float, float], ...]
"""Landmarks as (x, y) pixels: left eye, right eye, nose, left and right mouth corner, as the viewer sees."""

ARCFACE_POINTS: Points = tuple(
    (x + 8, y)
    for x, y in (
        (30.2946, 51.6963),
        (65.5318, 51.5014),
        (48.0252, 71.7366),
        (33.5493, 92.3655),
        (62.7299, 92.2041),
    )
)
"""The five points of ArcFace's crop (insightface, published for 96×112), 8 px to the right for 112×112."""

TEMPLATES = MappingProxyType(
    {
        # GPEN pads ArcFace's square by 28 px on each side and scales the 168 px to the network's size.
        "gpen": tuple(((x + 28) * 512 / 168, (y + 28) * 512 / 168) for x, y in ARCFACE_POINTS),
        # The mean landmarks of FFHQ at 512, as facexlib publishes them.
        "ffhq": (
            (192.98138, 239.94708),
            (318.90277, 240.1936),
            (256.63416, 314.01935),
            (201.26117, 371.41043),
            (313.08905, 371.15118),
        ),
    }
)
"""Where the five landmarks lie in a crop of 512 px, by template. GPEN's shows more around the face."""


def template_points(template: str, size: int) -> Points:
    """The five points of a template in a crop of ``size`` pixels.

    Raises:
        OptionError: an unknown template, or a size below 1.
    """
    if template not in TEMPLATES:
        raise OptionError(f"Found template {template!r}; expected one of {', '.join(sorted(TEMPLATES))}.")
    if size < 1:
        raise OptionError(f"Found a crop size of {size}; expected 1 pixel or more.")
    return tuple((x * size / 512, y * size / 512) for x, y in TEMPLATES[template])


def similarity(landmarks: Points, template: Points) -> Tensor:
    """The turn, uniform scale and shift that take ``landmarks`` nearest to ``template``, in least squares.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991),
    doi:10.1109/34.88573. In the plane, points are complex numbers, the map is ``z -> a z + b``, and the
    solution is an ordinary linear regression.

    Args:
        landmarks: (x, y) points.
        template: as many points.

    Returns:
        [2, 3] float64 on the CPU. It never mirrors.

    Raises:
        FaceError: the points coincide or aren't finite, so that no map is defined.
    """
    source = [complex(x, y) for x, y in landmarks]
    target = [complex(x, y) for x, y in template]
    source_mean = sum(source) / len(source)
    target_mean = sum(target) / len(target)
    spread = sum(abs(z - source_mean) ** 2 for z in source)
    product = sum(
        (z - source_mean).conjugate() * (w - target_mean) for z, w in zip(source, target, strict=True)
    )
    if not (math.isfinite(spread) and spread > 1e-6 and abs(product) > 1e-6):
        raise FaceError(
            f"Landmarks {landmarks} fix no position; expected five distinct points. Drop this face."
        )
    a = product / spread
    b = target_mean - a * source_mean
    return torch.tensor([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], dtype=torch.float64)
