"""What torchvision's networks have in common here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Frozen"]

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]


class Frozen(nn.Module):
    """Frozen first layers of one of torchvision's networks, under its tensor names.

    Args:
        layers: as torchvision's ``features`` has them.
        taps: numbers of the layers whose outputs are given.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, layers: Sequence[nn.Module], taps: Sequence[int]) -> None:
        super().__init__()
        self.features, self.taps = nn.Sequential(*layers), tuple(taps)
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
