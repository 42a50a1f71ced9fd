"""Figures that need a network or a detector: functions of an image and its truth.

An image and its truth are [1, 3, H, W] in [0, 1] of one size; a figure is NaN where there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..backbones import LAYERS, feature_distance
from ..faces import detect_faces
from ..faces.identity import FaceEmbedder
from ..faces.regions import region_windows

__all__ = ["Figure", "Network", "feature_figure", "identity_figure", "landmark_distance", "of_pairs"]

Figure = Callable[[Tensor, Tensor | None], float]
Network = Callable[[Tensor], Sequence[Tensor]]
"""[B, 3, S, S] in [-1, 1] to feature maps."""


class _Latest:
    """What a function gave for the last tensor asked about: one truth is compared with many images."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self.function, self.tensor, self.value = function, None, None

    def __call__(self, tensor: Tensor) -> Any:
        if tensor is not self.tensor:
            self.tensor, self.value = tensor, self.function(tensor)
        return self.value


def of_pairs(metric: Callable[[Tensor, Tensor], Tensor | float]) -> Figure:
    """The figure of a metric that always has a truth."""

    def of(image: Tensor, truth: Tensor | None) -> float:
        assert truth is not None
        return float(metric(image, truth))

    return of


def feature_figure(network: Network, eyes_of: str = "") -> Figure:
    """Mean over the network's maps of mean |difference| / mean |truth|.

    Args:
        network: its features are compared, those of VGG-19's relu1_1 to relu4_1.
        eyes_of: name of a template: compare only the windows around the eyes, where that template has them,
            and take their mean. NaN for an image that isn't square, as it is no aligned face.
    """

    def parts(planes: Tensor) -> list[Tensor]:
        if not eyes_of:
            return [planes]
        windows = region_windows(eyes_of, planes.shape[-1])[:2]
        return [planes[..., top : top + height, left : left + width] for top, left, height, width in windows]

    def maps(planes: Tensor) -> list[Sequence[Tensor]]:
        return [network(part * 2 - 1) for part in parts(planes)]

    true_maps, weights = _Latest(maps), [1 / len(LAYERS)] * len(LAYERS)

    def of(image: Tensor, truth: Tensor | None) -> float:
        assert truth is not None
        if eyes_of and image.shape[-1] != image.shape[-2]:
            return math.nan
        pairs = zip(maps(image), true_maps(truth), strict=True)
        distances = [feature_distance(ours, theirs, weights) for ours, theirs in pairs]
        return torch.stack(distances).mean().item()

    return of


def identity_figure(embedder: FaceEmbedder, template: str) -> Figure:
    """Cosine of the embeddings of two faces that are aligned to ``template``."""
    true_identity = _Latest(lambda truth: embedder.embed(truth, template)[0])

    def of(image: Tensor, truth: Tensor | None) -> float:
        assert truth is not None
        if image.shape[-1] != image.shape[-2]:
            return math.nan  # no aligned face
        return (embedder.embed(image, template)[0] @ true_identity(truth)).item()

    return of


def landmark_distance() -> Figure:
    """Mean distance of the five landmarks of the largest face, in percent of the true eye distance.

    Both faces are found by the default detector. NaN where one is not found.

    Raises:
        MissingWeightsError: the detector's weights are not on this machine.
    """
    detect_faces(torch.zeros(32, 32, 3))
    true_landmarks = _Latest(_landmarks)

    def of(image: Tensor, truth: Tensor | None) -> float:
        assert truth is not None
        ours, theirs = _landmarks(image), true_landmarks(truth)
        if ours is None or theirs is None:
            return math.nan
        distances = torch.linalg.vector_norm(ours - theirs, dim=1)
        return 100 * (distances.mean() / torch.linalg.vector_norm(theirs[0] - theirs[1])).item()

    return of


def _landmarks(image: Tensor) -> Tensor | None:
    faces = detect_faces(image[0].permute(1, 2, 0), min_score=0.5, max_faces=1)
    return torch.tensor(faces[0].landmarks, dtype=torch.float64) if faces else None
