"""The folded network as a backend: run operator by operator, or replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ...model import Gpen
from . import graphs
from .network import FoldedGpen, fold

__all__ = ["FoldedBackend", "GraphBackend"]


class FoldedBackend:
    """``FoldedGpen``, on any device that torch knows; see ``inference.backends.Backend``."""

    module: nn.Module

    def __init__(self, network: Gpen, dtype: torch.dtype, check: Callable[[], None] = lambda: None) -> None:
        self.config = network.config
        self.module = fold(network, dtype, check)

    @property
    def weight_bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in self.module.state_dict().values())

    @property
    def activation_bytes(self) -> int:
        return self.config.working_bytes()

    def place(self, device: torch.device) -> None:
        """Nothing is left to do where the host has put the module."""

    def batch_size(self, device: torch.device) -> int:
        """One on a CPU, where a batch gains nothing."""
        return 1 if device.type == "cpu" else max(1, 8 * 512**2 // self.config.size**2)

    def run(self, image: Tensor, check: Callable[[], None]) -> Tensor:
        return self.module(image, check)


class GraphBackend(FoldedBackend):
    """``GraphedGpen``: on CUDA, a face's kernels are launched all at once; as ``FoldedBackend`` elsewhere.

    The card holds their working memory until the host moves the network or lets go of it.
    """

    def __init__(self, network: Gpen, dtype: torch.dtype, check: Callable[[], None] = lambda: None) -> None:
        super().__init__(network, dtype, check)
        self.module = graphs.GraphedGpen(cast("FoldedGpen", self.module))

    def batch_size(self, device: torch.device) -> int:
        """One, so that one graph serves any number of faces."""
        return 1 if graphs.has_graphs(device) else super().batch_size(device)
