"""Networks for a dry run, with random weights: enough to count a run's memory and time its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from ...backbones import AlexNet, DistilledVgg19, Vgg19
from ...errors import MissingWeightsError
from ...faces.identity import FaceEmbedder
from .networks import Networks

__all__ = ["UntrainedNetworks"]

T = TypeVar("T")


class UntrainedNetworks(Networks):
    """As ``Networks``, with random weights where a file is missing; ``missing`` says for which."""

    @cached_property
    def missing(self) -> list[str]:
        return []

    def load_vgg19(self, layers: Sequence[str]) -> Vgg19 | DistilledVgg19:
        return self._or_random("VGG-19", lambda: Networks.load_vgg19(self, layers), lambda: Vgg19(layers))

    def load_lpips(self) -> tuple[AlexNet, list[Tensor]]:
        def random() -> tuple[AlexNet, list[Tensor]]:
            return AlexNet(), [torch.ones(channels) for channels in AlexNet.CHANNELS]

        return self._or_random("AlexNet and LPIPS", lambda: Networks.load_lpips(self), random)

    def load_embedder(self) -> FaceEmbedder:
        return self._or_random("MobileFaceNet", lambda: Networks.load_embedder(self), FaceEmbedder)

    def _or_random(self, name: str, load: Callable[[], T], random: Callable[[], T]) -> T:
        try:
            return load()
        except MissingWeightsError:
            self.missing.append(name)
            with torch.random.fork_rng():
                return random()
