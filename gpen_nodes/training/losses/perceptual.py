"""Terms that compare features of networks trained on ImageNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["AlexNet", "Lpips", "Perceptual", "Vgg19"]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]

Features = Callable[[Tensor], Sequence[Tensor]]
"""[B, 3, S, S] in [-1, 1] to feature maps."""


class Perceptual(nn.Module):
    """L1 between feature maps, summed over the layers.

    Johnson et al. 2016, who took squares; ESRGAN and its heirs take L1.
    """

    def __init__(self, network: Features) -> None:
        super().__init__()
        self.network = network

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        pairs = zip(self.network(restored), self.network(truth), strict=True)
        return torch.stack([F.l1_loss(ours, theirs) for ours, theirs in pairs]).sum()


class Lpips(nn.Module):
    """Learned perceptual distance (Zhang et al. 2018, equation 1).

    At each pixel of each layer, features scaled to length 1, the squares of their differences weighted by
    channel; the mean over pixels, summed over layers, the mean over the batch.

    Args:
        network: gives the maps.
        channel_weights: for each map one tensor of as many numbers as it has channels, none below 0.
    """

    def __init__(self, network: Features, channel_weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.network = network
        for layer, weight in enumerate(channel_weights):
            self.register_buffer(f"weight{layer}", weight.detach().float().view(1, -1, 1, 1))

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        total = restored.new_zeros(())
        for layer, (ours, theirs) in enumerate(zip(self.network(restored), self.network(truth), strict=True)):
            difference = _unit_length(ours) - _unit_length(theirs)
            weighted = difference.square() * self.get_buffer(f"weight{layer}")
            total = total + weighted.sum(dim=1).mean()
        return total


def _unit_length(features: Tensor) -> Tensor:
    # In fp32 also under autocast: squares of fp16 features leave its range.
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    # A dead pixel has length 0, where a root's slope is infinite.
    return features * torch.rsqrt(features.square().sum(dim=1, keepdim=True) + 1e-10)


class _Backbone(nn.Module):
    """Frozen first layers of one of torchvision's networks, under its tensor names."""

    shift: Tensor
    scale: Tensor

    def __init__(self, layers: Sequence[nn.Module], taps: Sequence[int]) -> None:
        super().__init__()
        self.features, self.taps = nn.Sequential(*layers), taps
        # From [-1, 1] to ImageNet's normal values in one go; not part of the weights.
        shift, scale = torch.tensor(MEAN) * 2 - 1, torch.tensor(DEVIATION) * 2
        self.register_buffer("shift", shift.view(3, 1, 1), persistent=False)
        self.register_buffer("scale", scale.view(3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # faster on a CPU

    def forward(self, image: Tensor) -> list[Tensor]:
        """[B, 3, S, S] in [-1, 1] to the outputs of the tapped layers."""
        x, tapped = (image - self.shift) / self.scale, []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                tapped.append(x)
        return tapped


class Vgg19(_Backbone):
    """VGG-19 up to relu2_2 (Simonyan and Zisserman 2014, table 1, column E): [B, 128, S/2, S/2]."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 64), (64, 64), (64, 128), (128, 128)):
            if (inputs, outputs) == (64, 128):
                layers.append(nn.MaxPool2d(2))
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        super().__init__(layers, taps=(len(layers) - 1,))


class AlexNet(_Backbone):
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
