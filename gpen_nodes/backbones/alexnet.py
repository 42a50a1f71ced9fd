"""AlexNet, on which LPIPS is defined."""

from __future__ import annotations

from torch import nn

from .frozen import Frozen

__all__ = ["AlexNet"]


class AlexNet(Frozen):
    """AlexNet's five convolutions as torchvision has them (Krizhevsky 2014): the maps after each ReLU."""

    CHANNELS = (64, 192, 384, 256, 256)

    def __init__(self) -> None:
        layers: list[nn.Module] = [
            *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
        ]
        super().__init__(layers, taps=(1, 4, 7, 9, 11))
