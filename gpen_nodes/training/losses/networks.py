"""The terms' own networks: where their weights come from, under what licence, and how they are read.

Nothing here is downloaded: the weights are large, and some may not be used for every purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...checkpoints import read_tensors
from ...errors import CheckpointError, MissingWeightsError
from ...faces.identity import FaceEmbedder
from .perceptual import AlexNet, Vgg19

__all__ = ["Networks"]


@dataclass(frozen=True)
class Source:
    """Where a file of weights comes from."""

    term: str
    file: str
    url: str
    licence: str


_TORCHVISION = "BSD-3-Clause as torchvision; trained on ImageNet, which is for research"
SOURCES = {
    "vgg19": Source(
        "perceptual",
        "vgg19-dcbb9e9d.pth (575 MB)",
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        _TORCHVISION,
    ),
    "alexnet": Source(
        "lpips",
        "alexnet-owt-7be5be79.pth (244 MB)",
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        _TORCHVISION,
    ),
    "lpips": Source(
        "lpips",
        "alex.pth (6 kB), which the package lpips also holds in lpips/weights/v0.1",
        "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/alex.pth",
        "BSD-2-Clause",
    ),
    "mobilefacenet": Source(
        "identity",
        "MobileFaceNet.onnx (4 MB), see docs/checkpoints.md",
        "https://github.com/foamliu/MobileFaceNet",
        "Apache-2.0",
    ),
}


@dataclass(frozen=True)
class Networks:
    """Paths of weight files; empty where there is none.

    Attributes:
        vgg19: torchvision's VGG-19, for the perceptual term.
        alexnet: torchvision's AlexNet, for LPIPS.
        lpips: LPIPS's own weights for AlexNet's channels, version 0.1.
        mobilefacenet: MobileFaceNet.onnx, for the identity term.
    """

    vgg19: str = ""
    alexnet: str = ""
    lpips: str = ""
    mobilefacenet: str = ""

    def path(self, name: str) -> Path:
        """Of one file.

        Raises:
            MissingWeightsError: none is named, or it is not there; says where to get it.
        """
        path, source = getattr(self, name), SOURCES[name]
        if path and Path(path).is_file():
            return Path(path)
        found = f"{path} does not exist" if path else f"networks.{name} names no file"
        raise MissingWeightsError(
            f"The term {source.term} needs weights, and {found}. Get {source.file} from {source.url} "
            f"({source.licence}) and set networks.{name} to its path, or set {source.term} = 0."
        )

    def load_vgg19(self) -> Vgg19:
        return _filled(Vgg19(), self.path("vgg19"))

    def load_lpips(self) -> tuple[AlexNet, list[Tensor]]:
        """AlexNet, and the weights of its channels."""
        network, path = _filled(AlexNet(), self.path("alexnet")), self.path("lpips")
        state = read_tensors(path)
        weights = [state.get(f"lin{layer}.model.1.weight") for layer in range(len(AlexNet.CHANNELS))]
        found = [w.numel() for w in weights if w is not None]
        if tuple(found) != AlexNet.CHANNELS:
            raise CheckpointError(
                f"{path} holds weights for {found} channels; expected LPIPS's for AlexNet, "
                f"{list(AlexNet.CHANNELS)}. Get {SOURCES['lpips'].file} from {SOURCES['lpips'].url}."
            )
        return network, [w for w in weights if w is not None]

    def load_embedder(self) -> FaceEmbedder:
        return FaceEmbedder.load(self.path("mobilefacenet"))


def _filled(network: nn.Module, path: Path) -> Any:
    """The network with the tensors of the file that it has; what the file holds beyond is left there."""
    state, expected = read_tensors(path), network.state_dict()
    for name, tensor in expected.items():
        found = getattr(state.get(name), "shape", None)
        if found != tensor.shape:
            raise CheckpointError(
                f"{path} is not torchvision's {type(network).__name__}: expected {name} of shape "
                f"{tuple(tensor.shape)}, found {tuple(found) if found else 'none'}."
            )
    network.load_state_dict({name: state[name] for name in expected})
    return network
