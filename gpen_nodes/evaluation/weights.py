"""Weights that metrics of others need: found on this machine, never downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..checkpoints import sha256
from ..errors import CheckpointError, MissingWeightsError

__all__ = ["ALEXNET", "DISTILLED_VGG19", "INCEPTION", "NIQE_PARAMETERS", "MetricWeights"]


@dataclass(frozen=True)
class MetricWeights:
    """A file that a metric's library would download.

    Attributes:
        name: of the file, in the library's cache as well as in a folder of the user's.
        url: where its authors keep it.
        digest: how its SHA-256 begins, as far as its authors say.
        cache: folder below torch's hub directory.
    """

    name: str
    url: str
    digest: str = ""
    cache: str = "checkpoints"

    def find(self, folders: Sequence[str | Path] = ()) -> Path:
        """The file in one of the folders, or else in the cache.

        Raises:
            MissingWeightsError: it is nowhere; says where to get it.
            CheckpointError: it is there and another file than its name says.
        """
        places = [*map(Path, folders), Path(torch.hub.get_dir()) / self.cache]
        for path in (place / self.name for place in places):
            if path.is_file():
                self._check(path)
                return path
        raise MissingWeightsError(
            f"{self.name} is not in {' or '.join(map(str, places))}. Get it from {self.url}"
        )

    def _check(self, path: Path) -> None:
        if not self.digest:
            return
        found = sha256(path)
        if not found.startswith(self.digest):
            raise CheckpointError(
                f"{path} has SHA-256 {found[:16]}…; expected {self.digest}…. Get it again from {self.url}"
            )


ALEXNET = MetricWeights(
    "alexnet-owt-7be5be79.pth", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"
)
"""Torchvision's AlexNet (BSD-3), on which LPIPS is built; its own weights (BSD-2) come with torchmetrics."""

INCEPTION = MetricWeights(
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    "6726825d",
)
"""The Inception network of FID (Apache-2.0), as torch-fidelity converted it."""

NIQE_PARAMETERS = MetricWeights(
    "niqe_modelparameters.mat",
    "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/niqe_modelparameters.mat",
    cache="pyiqa",
)
"""Mean and covariance of natural pictures' features, by NIQE's authors."""

DISTILLED_VGG19 = MetricWeights(
    "vgg19_16x_5SE.pth",
    "https://raw.githubusercontent.com/MingSun-Tse/Collaborative-Distillation/"
    "4a269dc90020721ef9b279b2926c62f5bcd6d209/trained_models/wct_se_16x_new/20191109-211322_E20.pth",
    "9417c34d",
)
"""VGG-19 distilled to a sixteenth (MIT; Wang et al. 2020), for the feature distance."""
