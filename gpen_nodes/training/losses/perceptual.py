"""Terms that compare features of networks trained on ImageNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...backbones import feature_distance
from ...faces.regions import region_windows

__all__ = ["Features", "Lpips", "Network", "Perceptual", "Regions"]

Network = Callable[[Tensor], Sequence[Tensor]]
"""[B, 3, S, S] in [-1, 1] to feature maps."""

# Of relu1_1 to relu4_1: deep layers, which see shapes, count more than shallow ones, which see texture.
LAYER_WEIGHTS = (0.1, 0.2, 0.4, 1.0)


class Perceptual(nn.Module):
    """L1 between feature maps, summed over the layers.

    Johnson et al. 2016, who took squares; ESRGAN and its heirs take L1.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        pairs = zip(self.network(restored), self.network(truth), strict=True)
        return torch.stack([F.l1_loss(ours, theirs) for ours, theirs in pairs]).sum()


class Features(nn.Module):
    """``feature_distance`` over VGG-19's relu1_1 to relu4_1, the distilled one's or the full one's."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        with torch.no_grad():
            theirs = self.network(truth)
        return feature_distance(self.network(restored), theirs, LAYER_WEIGHTS)


class Regions(nn.Module):
    """L1 and feature distance of the windows around both eyes and the mouth, where people look first.

    GFPGAN's component loss (Wang et al. 2021, section 3.4) has such windows, each with a discriminator.

    Args:
        network: as ``Features`` takes it.
        template: where the faces' eyes and mouth lie; see ``template_points``.
    """

    def __init__(self, network: Network, template: str = "gpen") -> None:
        super().__init__()
        self.network, self.template = network, template

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        total = restored.new_zeros(())
        for top, left, height, width in region_windows(self.template, restored.shape[-1]):
            place = (..., slice(top, top + height), slice(left, left + width))
            ours, theirs = restored[place], truth[place]
            with torch.no_grad():
                expected = self.network(theirs)
            total = total + F.l1_loss(ours, theirs)
            total = total + feature_distance(self.network(ours), expected, LAYER_WEIGHTS)
        return total / 3


class Lpips(nn.Module):
    """Learned perceptual distance (Zhang et al. 2018, equation 1).

    At each pixel of each layer the features are scaled to length 1; the squares of their differences are
    weighted by channel. The result is averaged over pixels, summed over layers, and averaged over the batch.

    Args:
        network: gives the maps.
        channel_weights: for each map one tensor of as many numbers as it has channels, none below 0.
    """

    def __init__(self, network: Network, channel_weights: Sequence[Tensor]) -> None:
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
    # In fp32 also under autocast: squares of features overflow fp16.
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    # Without the small number a pixel whose features are all 0 would give an infinite gradient.
    return features * torch.rsqrt(features.square().sum(dim=1, keepdim=True) + 1e-10)
