"""LPIPS, FID and NIQE by libraries of the extra ``eval``, with weights that are already on this machine.

They are not installed where pyright runs, hence its comments.

Left alone, each of these libraries downloads what it lacks. Here the files are found first and handed over,
and nothing is built without them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import read_tensors
from ..errors import CheckpointError
from ..weight_files import ALEXNET, INCEPTION, NIQE_PARAMETERS, find_weights

__all__ = ["Fid", "load_lpips", "load_niqe"]

Folders = Sequence[str | Path]


def load_lpips(folders: Folders = ()) -> Callable[[Tensor, Tensor], float]:
    """LPIPS with AlexNet (Zhang et al. 2018, version 0.1), by torchmetrics: two [1, 3, H, W] in [0, 1].

    Raises:
        ModuleNotFoundError: torchmetrics or torchvision is not installed.
        MissingWeightsError, CheckpointError: AlexNet's weights are missing or another file.
    """
    import torchvision

    # Not public, and the only way in without a download.
    from torchmetrics.functional.image.lpips import _NoTrainLpips  # pyright: ignore[reportMissingImports]

    path = find_weights(ALEXNET.name, folders)
    alexnet = torchvision.models.alexnet(weights=None)
    try:
        alexnet.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        raise CheckpointError(f"{path} is not torchvision's AlexNet: {error}") from error
    network = _NoTrainLpips(net="alex", pnet_rand=True)
    for block in network.net.children():
        for index, layer in block.named_children():  # named by their places in AlexNet
            layer.load_state_dict(alexnet.features[int(index)].state_dict())

    def lpips(restored: Tensor, truth: Tensor) -> float:
        return network(restored, truth, normalize=True).item()

    return lpips


class Fid:
    """Fréchet distance between the Inception features of two sets (Heusel et al. 2017), by torchmetrics.

    Raises:
        ModuleNotFoundError: torchmetrics or torch-fidelity is not installed.
        MissingWeightsError, CheckpointError: Inception's weights are missing or another file.
    """

    def __init__(self, folders: Folders = ()) -> None:
        import torch_fidelity  # noqa: F401  # pyright: ignore[reportMissingImports]  # without it torchmetrics fails later
        from torchmetrics.image.fid import FrechetInceptionDistance  # pyright: ignore[reportMissingImports]

        path = find_weights(INCEPTION.name, folders)
        self._empty = FrechetInceptionDistance(feature_extractor_weights_path=str(path))
        self._sets: dict[str, Any] = {}

    def add(self, system: str, restored: Tensor, truth: Tensor) -> None:
        """Take [1, 3, H, W] in [0, 1] into the system's set and into its truth's."""
        if system not in self._sets:
            self._sets[system] = copy.deepcopy(self._empty)
        metric = self._sets[system]
        for image, real in ((restored, False), (truth, True)):
            metric.update((image * 255).round().to(torch.uint8), real=real)

    def values(self) -> dict[str, float]:
        """The distance of each system, after which all sets are empty; NaN of fewer than two images."""
        sets, self._sets = self._sets, {}
        return {
            system: float(metric.compute()) if int(metric.real_features_num_samples) > 1 else math.nan
            for system, metric in sets.items()
        }


def load_niqe(folders: Folders = ()) -> Callable[[Tensor], float]:
    """NIQE (Mittal et al. 2013), by pyiqa: [1, 3, H, W] in [0, 1], at least 192 px wide and high.

    Raises:
        ModuleNotFoundError: pyiqa, or what it needs, is not installed.
        MissingWeightsError, CheckpointError: the parameters are missing or damaged.
    """
    from pyiqa.archs.niqe_arch import NIQE  # pyright: ignore[reportMissingImports]

    path = find_weights(NIQE_PARAMETERS.name, folders)
    try:
        network = NIQE(pretrained_model_path=str(path))
    except Exception as error:  # scipy raises many kinds on a file that is no .mat
        raise CheckpointError(f"{path} holds no parameters of NIQE: {error}") from error

    def niqe(image: Tensor) -> float:
        # One block of 96 px has no covariance.
        return float(network(image)) if min(image.shape[-2:]) >= 192 else math.nan

    return niqe
