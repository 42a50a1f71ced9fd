"""How steady a restored film is, beside its truth: flicker, and what each frame is worth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ..faces import DetectedFace, align_face
from ..faces.identity import FaceEmbedder
from ..films.motion import dense_flow
from ..images import as_rgb, to_uint8

__all__ = ["FilmFigures", "Steadiness", "alignment_jitter"]

_HALF_AXES = 1.1, 1.5  # of the ellipse that is a face, in eye distances
_CROP = 128


@dataclass(frozen=True)
class Steadiness:
    """Figures of a film, over all faces of all frames.

    Attributes:
        flicker: mean absolute difference of successive frames inside faces, once the motion is taken out, as
            a share of the truth's: 1 is right, more boils.
        difference, true_difference: the two, in shares of white.
        psnr: inside faces, in dB; the mean of the frames.
        identity: mean cosine to the truth's faces; NaN without MobileFaceNet.
        steadiness: mean cosine of a face to the same one in the frame before; NaN likewise.
    """

    flicker: float
    difference: float
    true_difference: float
    psnr: float
    identity: float
    steadiness: float


class FilmFigures:
    """Compares a film with its truth, frame by frame; memory does not grow.

    Args:
        embedder: MobileFaceNet, for identity; None leaves it out.
    """

    def __init__(self, embedder: FaceEmbedder | None = None) -> None:
        self._embedder = embedder
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._past: tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, Tensor]] | None = None
        self._differences: list[tuple[float, float]] = []
        self._psnr: list[float] = []
        self._identity: list[float] = []
        self._steadiness: list[float] = []

    def add(
        self, restored: Tensor, truth: Tensor, faces: Sequence[tuple[int, DetectedFace]], *, cut: bool = False
    ) -> None:
        """The next frame.

        Args:
            restored, truth: [1, H, W, C] in [0, 1], of one size.
            faces: of the truth, each with the number of its track.
            cut: whether another shot begins with it.
        """
        ours, theirs = (as_rgb(image)[0].cpu().numpy() for image in (restored, truth))
        gray = cv2.cvtColor(to_uint8(as_rgb(truth)[0]), cv2.COLOR_RGB2GRAY)
        inside = _inside(gray.shape, [face for _, face in faces])
        known = {number: self._embedded(restored, truth, face) for number, face in faces}
        if inside.any():
            error = float(np.square(ours - theirs, dtype=np.float64)[inside].mean())
            self._psnr.append(-10 * math.log10(max(error, 1e-12)))
            self._identity += [float(pair[0] @ pair[1]) for pair in known.values() if len(pair)]
        if self._past is not None and not cut:
            before, before_true, before_gray, before_known = self._past
            if inside.any():
                flow = dense_flow(self._flow, gray, before_gray)
                pairs = (ours, before), (theirs, before_true)
                now, then = (float(np.abs(a - _followed(b, flow))[inside].mean()) for a, b in pairs)
                self._differences.append((now, then))
            both = [n for n in known if n in before_known and len(known[n])]
            self._steadiness += [float(known[n][0] @ before_known[n][0]) for n in both]
        self._past = ours, theirs, gray, known

    def figures(self) -> Steadiness:
        """Of all frames so far."""
        ours, theirs = (_mean([pair[k] for pair in self._differences]) for k in (0, 1))
        return Steadiness(
            ours / max(theirs, 1e-9),
            ours,
            theirs,
            _mean(self._psnr),
            _mean(self._identity),
            _mean(self._steadiness),
        )

    @torch.inference_mode()
    def _embedded(self, restored: Tensor, truth: Tensor, face: DetectedFace) -> Tensor:
        """[2, D] of both films; empty without a network."""
        if self._embedder is None:
            return torch.empty(0)
        crops = [align_face(image, face, _CROP).crop.cpu().permute(2, 0, 1) for image in (restored, truth)]
        return self._embedder.embed(torch.stack(crops))


def alignment_jitter(found: Sequence[np.ndarray | None], truth: Sequence[np.ndarray]) -> float:
    """How much the error of landmarks changes from frame to frame, in shares of the eye distance.

    Args:
        found: [5, 2] of each frame; None where no face was found.
        truth: [5, 2] of each frame.
    """
    errors = [None if one is None else one - true for one, true in zip(found, truth, strict=True)]
    steps = [
        float(np.linalg.norm(b - a, axis=1).mean())
        for a, b in itertools.pairwise(errors)
        if a is not None and b is not None
    ]
    distance = _mean([float(np.linalg.norm(one[0] - one[1])) for one in truth])
    return _mean(steps) / distance


def _inside(size: tuple[int, ...], faces: Sequence[DetectedFace]) -> np.ndarray:
    """[H, W], where a face is: an ellipse around its landmarks, turned as its eyes are."""
    mask = np.zeros(size, np.uint8)
    for face in faces:
        points = np.array(face.landmarks)
        (x, y), (dx, dy) = points.mean(0), points[1] - points[0]
        distance = math.hypot(dx, dy)
        axes = tuple(round(half * distance) for half in _HALF_AXES)
        angle = math.degrees(math.atan2(dy, dx))
        cv2.ellipse(mask, (round(x), round(y)), axes, angle, 0, 360, 1, -1)
    return mask.astype(bool)


def _followed(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    ys, xs = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    places = xs + flow[..., 0], ys + flow[..., 1]
    return cv2.remap(image, *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
