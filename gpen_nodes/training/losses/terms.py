"""Every term that compares a restored face with the true one: one entry each.

Options of a training run, columns of its log and its plan follow from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from .identity import Identity
from .networks import Networks
from .perceptual import Features, Lpips, Perceptual, Regions
from .pixel import Chroma, Pixel

__all__ = ["TERMS", "Term"]


@dataclass(frozen=True)
class Term:
    """One term of the objective.

    Attributes:
        weight: λ that a run has by default.
        about: what it is, in a few words.
        build: makes the module, which takes restored and true faces, [B, 3, S, S] in [-1, 1], and gives a
            scalar; called only where the term has a weight, since its networks may be missing.
    """

    weight: float
    about: str
    build: Callable[[Networks], nn.Module]


TERMS: Mapping[str, Term] = MappingProxyType(
    {
        "pixel": Term(1.0, "L1 between restored and true face, both in [-1, 1]", lambda networks: Pixel()),
        "chroma": Term(0.0, "L1 between the slopes of Cb and Cr", lambda networks: Chroma()),
        "perceptual": Term(
            0.0,
            "L1 between VGG-19's relu2_2, the whole network's or the distilled one's",
            lambda networks: Perceptual(networks.load_vgg19(("relu2_2",))),
        ),
        "features": Term(
            0.0,
            "relative L1 between VGG-19's relu1_1 to relu4_1",
            lambda networks: Features(networks.shared_vgg19),
        ),
        "regions": Term(
            0.0,
            "L1 and features once more, of the windows around eyes and mouth",
            lambda networks: Regions(networks.shared_vgg19.network),
        ),
        "identity": Term(
            0.0,
            "1 - cosine between MobileFaceNet embeddings",
            lambda networks: Identity(networks.load_embedder()),
        ),
        "lpips": Term(0.0, "LPIPS on AlexNet", lambda networks: Lpips(*networks.load_lpips())),
    }
)
