"""VGG-19, whole as torchvision has it or distilled to a sixteenth of its size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints import read_tensors
from ..errors import CheckpointError
from .fill import fill
from .frozen import Frozen

__all__ = ["LAYERS", "DistilledVgg19", "Vgg19", "load_vgg"]

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""The maps that stand for fine texture up to parts of a face; each has half the side of the one before."""

# Simonyan and Zisserman 2014, table 1, column E, up to relu4_1: convolutions of each block and their width.
_BLOCKS = ((2, 64), (2, 128), (4, 256), (1, 512))


class Vgg19(Frozen):
    """torchvision's VGG-19.

    Args:
        layers: names of the maps to give, such as ``relu2_2``; what comes after the last is left out.
    """

    def __init__(self, layers: Sequence[str] = LAYERS) -> None:
        built: list[nn.Module] = []
        taps: dict[str, int] = {}
        channels = 3
        for block, (count, width) in enumerate(_BLOCKS, start=1):
            if block > 1:
                built.append(nn.MaxPool2d(2))
            for number in range(1, count + 1):
                built += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                taps[f"relu{block}_{number}"] = len(built) - 1
                channels = width
        chosen = [taps[name] for name in layers]
        super().__init__(built[: max(chosen) + 1], chosen)


class DistilledVgg19(nn.Module):
    """VGG-19 distilled to a quarter of its channels (Wang et al. 2020, "Collaborative Distillation").

    Takes and gives what ``Vgg19`` does, in fewer channels and a fraction of the time. Its tensors are named
    as in the authors' ``vgg19_16x_5SE.pth``.

    Args:
        layers: names of the maps to give, up to ``relu4_1``.
    """

    # Side of each map and number of channels: as in VGG-19, a quarter as wide.
    _CONVS = tuple(
        (f"{block}{number}", width // 4)
        for block, (count, width) in enumerate(_BLOCKS, start=1)
        for number in range(1, count + 1)
    )

    def __init__(self, layers: Sequence[str] = LAYERS) -> None:
        super().__init__()
        self.taps = {name.removeprefix("relu").replace("_", "") for name in layers}
        self.conv0 = nn.Conv2d(3, 3, 1)  # from RGB in [0, 1] to the scale that the network was trained on
        names, channels = [name for name, _ in self._CONVS], 3
        last = max(names.index(tap) for tap in self.taps)
        for name, width in self._CONVS[: last + 1]:
            self.add_module(f"conv{name}", nn.Conv2d(channels, width, 3))
            channels = width
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # faster on a CPU

    def forward(self, image: Tensor) -> list[Tensor]:
        """[B, 3, S, S] in [-1, 1] to the maps after the named layers' ReLU; S of 16 or more."""
        x, tapped = self.conv0((image + 1) / 2), []
        for name, conv in self.named_children():
            if name == "conv0":
                continue
            if name.endswith("1") and name != "conv11":  # the first of a block
                x = F.max_pool2d(x, 2)
            x = F.relu(conv(F.pad(x, (1, 1, 1, 1), mode="reflect")))
            if name.removeprefix("conv") in self.taps:
                tapped.append(x)
        return tapped


def load_vgg(path: str | Path, layers: Sequence[str] = LAYERS) -> Vgg19 | DistilledVgg19:
    """The network that a file holds: torchvision's VGG-19, or the distilled one.

    Raises:
        CheckpointError: it holds neither.
    """
    state = read_tensors(path)
    if "conv0.weight" in state:
        return fill(DistilledVgg19(layers), state, path)
    if "features.0.weight" in state:
        return fill(Vgg19(layers), state, path)
    raise CheckpointError(
        f"{path} holds neither torchvision's VGG-19 nor the distilled one (vgg19_16x_5SE.pth)."
    )
