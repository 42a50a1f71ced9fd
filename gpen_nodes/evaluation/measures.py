"""The columns of a table: what each is called, which way is better, and which this machine can measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from ..errors import GpenError
from ..faces import detect_faces
from ..faces.identity import FaceEmbedder
from .libraries import Fid, load_lpips, load_niqe
from .metrics import gradient_energy, psnr, ssim

__all__ = ["Measure", "Measures", "gather_measures", "landmark_distance"]

NAN = math.nan
T = TypeVar("T")


@dataclass(frozen=True)
class Measure:
    """One figure of one picture.

    Attributes:
        name: with its unit.
        better: which way, or ``one`` for a share that is best at 1.
        of: the figure of a picture and its truth, [1, 3, H, W] in [0, 1] of one size; NaN where it has none.
        needs_truth: else it is called with None where there is no truth.
    """

    name: str
    better: Literal["higher", "lower", "one"]
    of: Callable[[Tensor, Tensor | None], float]
    needs_truth: bool = True


@dataclass(frozen=True)
class Measures:
    """All that this machine can measure.

    Attributes:
        each: figures of single pictures.
        fid: the one figure of a whole set, or None.
        left_out: a sentence for each that cannot be measured, with the remedy.
    """

    each: tuple[Measure, ...]
    fid: Fid | None = None
    left_out: tuple[str, ...] = ()


def gather_measures(
    *, template: str = "gpen", embedder: str | Path | None = None, weights: Sequence[str | Path] = ()
) -> Measures:
    """Every measure whose libraries and weights are here; the others are named and left out.

    Args:
        template: what faces are aligned to, for their identity.
        embedder: MobileFaceNet.onnx.
        weights: folders with the files of ``weights``, searched before the libraries' caches.

    Raises:
        CheckpointError: a file that was named is missing or damaged.
    """
    left_out: list[str] = []

    def attempt(name: str, build: Callable[[], T]) -> T | None:
        try:
            return build()
        except ModuleNotFoundError as error:
            left_out.append(f"{name} is left out: it needs {error.name} (pip install 'gpen-nodes[eval]').")
        except GpenError as error:
            left_out.append(f"{name} is left out: {error}")
        return None

    lpips, niqe = attempt("LPIPS", lambda: load_lpips(weights)), attempt("NIQE", lambda: load_niqe(weights))
    each = [
        Measure("PSNR (dB)", "higher", _of_pairs(psnr)),
        Measure("SSIM", "higher", _of_pairs(ssim)),
        Measure("sharpness", "one", _sharpness),
    ]
    if lpips:
        each.append(Measure("LPIPS", "lower", _of_pairs(lpips)))
    if embedder:
        each.append(Measure("identity", "higher", _identity(FaceEmbedder.load(embedder), template)))
    else:
        left_out.append(
            "Identity is left out: it needs --embedder MobileFaceNet.onnx, see docs/checkpoints.md."
        )
    if attempt("Landmarks", lambda: detect_faces(torch.zeros(32, 32, 3)) or True):
        each.append(Measure("landmarks (%)", "lower", landmark_distance()))
    if niqe:
        each.append(Measure("NIQE", "lower", lambda picture, _: niqe(picture), needs_truth=False))
    return Measures(tuple(each), attempt("FID", lambda: Fid(weights)), tuple(left_out))


class _Latest:
    """What a function gave for the last tensor asked about: one truth is compared with many pictures."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self.function, self.tensor, self.value = function, None, None

    def __call__(self, tensor: Tensor) -> Any:
        if tensor is not self.tensor:
            self.tensor, self.value = tensor, self.function(tensor)
        return self.value


def landmark_distance() -> Callable[[Tensor, Tensor | None], float]:
    """Mean distance of the five landmarks of the largest face, in percent of the true eye distance.

    Both faces are found by the default detector. NaN where one is not found.
    """
    true_landmarks = _Latest(_landmarks)

    def of(picture: Tensor, truth: Tensor | None) -> float:
        assert truth is not None
        ours, theirs = _landmarks(picture), true_landmarks(truth)
        if ours is None or theirs is None:
            return NAN
        distances = torch.linalg.vector_norm(ours - theirs, dim=1)
        return 100 * (distances.mean() / torch.linalg.vector_norm(theirs[0] - theirs[1])).item()

    return of


def _landmarks(picture: Tensor) -> Tensor | None:
    faces = detect_faces(picture[0].permute(1, 2, 0), min_score=0.5, max_faces=1)
    return torch.tensor(faces[0].landmarks, dtype=torch.float64) if faces else None


def _of_pairs(metric: Callable[[Tensor, Tensor], Tensor | float]) -> Callable[[Tensor, Tensor | None], float]:
    def of(picture: Tensor, truth: Tensor | None) -> float:
        assert truth is not None
        return float(metric(picture, truth))

    return of


def _sharpness(picture: Tensor, truth: Tensor | None) -> float:
    """Gradient energy as a share of the truth's."""
    assert truth is not None
    return (gradient_energy(picture) / gradient_energy(truth)).item()


def _identity(embedder: FaceEmbedder, template: str) -> Callable[[Tensor, Tensor | None], float]:
    true_identity = _Latest(lambda truth: embedder.embed(truth, template)[0])

    def of(picture: Tensor, truth: Tensor | None) -> float:
        assert truth is not None
        if picture.shape[-1] != picture.shape[-2]:
            return NAN  # no aligned face
        return (embedder.embed(picture, template)[0] @ true_identity(truth)).item()

    return of
