"""Every measure of a table, and which of them this machine can take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from torch import Tensor

from ..backbones import load_vgg
from ..errors import GpenError, MissingWeightsError
from ..faces.identity import FaceEmbedder
from ..weight_files import VGG19_DISTILLED, find_weights
from .figures import Figure, Network, feature_figure, identity_figure, landmark_distance, of_pairs
from .libraries import Fid, load_lpips, load_niqe
from .metrics import chroma_energy, colour_energy, gradient_energy, luma_energy, psnr, ssim, true_detail

__all__ = ["MEASURES", "Entry", "Measure", "Measures", "Needs", "gather_measures", "landmark_distance"]

Direction = Literal["higher", "lower", "one"]
T = TypeVar("T")


@dataclass(frozen=True)
class Measure:
    """One figure of one image, ready to be taken.

    Attributes:
        name: with its unit.
        better: which way, or ``one`` for a share that is best at 1.
        of: the figure of an image and its truth, [1, 3, H, W] in [0, 1] of one size; NaN where it has none.
        needs_truth: else it is called with None where there is no truth.
        weight: how much an image counts in a mean, from its truth; where None, all count alike.
    """

    name: str
    better: Direction
    of: Figure
    needs_truth: bool = True
    weight: Callable[[Tensor], float] | None = None


@dataclass(frozen=True)
class Needs:
    """What measures are built from.

    Attributes:
        template: what faces are aligned to.
        embedder: MobileFaceNet, if it is here.
        weights: folders with weights, searched before the libraries' caches.
    """

    template: str = "gpen"
    embedder: FaceEmbedder | None = None
    weights: Sequence[str | Path] = ()

    @cached_property
    def vgg(self) -> Network:
        """The distilled VGG-19, and no other: figures by another network can't be compared with these."""
        return load_vgg(find_weights(VGG19_DISTILLED.name, self.weights))

    def identity(self) -> Figure:
        if self.embedder is None:
            raise MissingWeightsError("it needs --embedder MobileFaceNet.onnx, see docs/checkpoints.md.")
        return identity_figure(self.embedder, self.template)


@dataclass(frozen=True)
class Entry:
    """One row of the table of measures.

    Attributes:
        name, better, needs_truth, weight: as ``Measure`` has them.
        build: makes the figure; raises ``GpenError`` or ``ModuleNotFoundError`` where something is missing.
    """

    name: str
    better: Direction
    build: Callable[[Needs], Figure]
    needs_truth: bool = True
    weight: Callable[[Tensor], float] | None = None


def _niqe(needs: Needs) -> Figure:
    niqe = load_niqe(needs.weights)
    return lambda image, _: niqe(image)


MEASURES: tuple[Entry, ...] = (
    Entry("PSNR (dB)", "higher", lambda _: of_pairs(psnr)),
    Entry("SSIM", "higher", lambda _: of_pairs(ssim)),
    Entry("identity", "higher", lambda needs: needs.identity()),
    Entry("features", "lower", lambda needs: feature_figure(needs.vgg)),
    Entry("eyes", "lower", lambda needs: feature_figure(needs.vgg, needs.template)),
    # Weighted, since images with little colour have extreme shares: in gray studio light their mean was 7.
    Entry(
        "colour energy", "one", lambda _: of_pairs(colour_energy), weight=lambda t: chroma_energy(t).item()
    ),
    Entry("luma energy", "one", lambda _: of_pairs(luma_energy)),
    Entry("true detail", "higher", lambda _: of_pairs(true_detail)),
    Entry("sharpness", "one", lambda _: of_pairs(lambda a, t: gradient_energy(a) / gradient_energy(t))),
    Entry("landmarks (%)", "lower", lambda _: landmark_distance()),
    Entry("LPIPS", "lower", lambda needs: of_pairs(load_lpips(needs.weights))),
    Entry("NIQE", "lower", _niqe, needs_truth=False),
)
"""In the order of the columns. FID, the figure of a whole set, comes after them."""


@dataclass(frozen=True)
class Measures:
    """All that this machine can measure.

    Attributes:
        each: figures of single images.
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
        template: what faces are aligned to, for their identity and their eyes.
        embedder: MobileFaceNet.onnx.
        weights: folders with the files of ``weights``, searched before the libraries' caches.

    Raises:
        CheckpointError: a file that was named is missing or damaged.
    """
    needs = Needs(template, FaceEmbedder.load(embedder) if embedder else None, weights)
    left_out: list[str] = []

    def attempt(name: str, build: Callable[[], T]) -> T | None:
        name = name[0].upper() + name[1:]
        try:
            return build()
        except ModuleNotFoundError as error:
            left_out.append(f"{name} is left out: it needs {error.name} (pip install 'gpen-nodes[eval]').")
        except GpenError as error:
            left_out.append(f"{name} is left out: {error}")
        return None

    built = [(entry, attempt(entry.name, lambda entry=entry: entry.build(needs))) for entry in MEASURES]
    each = [
        Measure(entry.name, entry.better, figure, entry.needs_truth, entry.weight)
        for entry, figure in built
        if figure is not None
    ]
    return Measures(tuple(each), attempt("FID", lambda: Fid(weights)), tuple(left_out))
