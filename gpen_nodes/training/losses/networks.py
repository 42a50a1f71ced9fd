"""The terms' own networks: where their weights come from, under what licence, and how they are read.

Nothing here is downloaded: the weights are large, and some may not be used for every purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ...backbones import LAYERS, AlexNet, DistilledVgg19, Vgg19, fill, load_vgg
from ...checkpoints import read_tensors
from ...errors import CheckpointError, MissingWeightsError
from ...faces.identity import FaceEmbedder
from ...weight_files import ALEXNET, LPIPS, MOBILEFACENET, VGG19, VGG19_DISTILLED, WeightFile
from .projected import Remembered

__all__ = ["Networks"]


# The term that asks first for each network, and the files that may hold it.
SOURCES: dict[str, tuple[str, tuple[WeightFile, ...]]] = {
    "vgg19": ("perceptual", (VGG19, VGG19_DISTILLED)),
    "alexnet": ("lpips", (ALEXNET,)),
    "lpips": ("lpips", (LPIPS,)),
    "mobilefacenet": ("identity", (MOBILEFACENET,)),
}


@dataclass(frozen=True)
class Networks:
    """Paths of weight files; empty where there is none.

    Attributes:
        vgg19: torchvision's VGG-19 or the distilled one, for every term that compares its features.
        alexnet: torchvision's AlexNet, for LPIPS.
        lpips: LPIPS's own weights for AlexNet's channels, version 0.1.
        mobilefacenet: MobileFaceNet.onnx, for the identity term.
    """

    vgg19: str = ""
    alexnet: str = ""
    lpips: str = ""
    mobilefacenet: str = ""

    def path(self, name: str) -> Path:
        """The path of one file.

        Raises:
            MissingWeightsError: none is named, or it is not there; says where to get it.
        """
        path, (term, files) = getattr(self, name), SOURCES[name]
        if path and Path(path).is_file():
            return Path(path)
        found = f"{path} does not exist" if path else f"networks.{name} names no file"
        choices = ", or ".join(f"{f.name} ({f.size}) from {f.address} ({f.licence})" for f in files)
        raise MissingWeightsError(
            f"The term {term} needs weights, and {found}. Get {choices}; `gpen-nodes models get "
            f"{files[0].name}` does. Then set networks.{name} to its path, or set {term} = 0."
        )

    def load_vgg19(self, layers: Sequence[str]) -> Vgg19 | DistilledVgg19:
        return load_vgg(self.path("vgg19"), layers)

    @cached_property
    def shared_vgg19(self) -> Remembered:
        """relu1_1 to relu4_1, one network for all terms and the discriminator."""
        return Remembered(self.load_vgg19(LAYERS))

    def load_lpips(self) -> tuple[AlexNet, list[Tensor]]:
        """AlexNet, and the weights of its channels."""
        own, path = self.path("alexnet"), self.path("lpips")
        network, state = fill(AlexNet(), read_tensors(own), own), read_tensors(path)
        weights = [state.get(f"lin{layer}.model.1.weight") for layer in range(len(AlexNet.CHANNELS))]
        found = [w.numel() for w in weights if w is not None]
        if tuple(found) != AlexNet.CHANNELS:
            raise CheckpointError(
                f"{path} holds weights for {found} channels; expected LPIPS's for AlexNet, "
                f"{list(AlexNet.CHANNELS)}. Get {LPIPS.name} from {LPIPS.address}."
            )
        return network, [w for w in weights if w is not None]

    def load_embedder(self) -> FaceEmbedder:
        return FaceEmbedder.load(self.path("mobilefacenet"))
