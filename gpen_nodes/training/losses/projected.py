"""A discriminator on a frozen network's features (Sauer et al. 2021, "Projected GANs Converge Faster")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

__all__ = ["ProjectedDiscriminator", "ProjectedGame", "Remembered"]

_WIDTHS = (32, 48, 64)
"""Widths of the heads, fine to coarse. Narrow ones do, since the frozen network does most of the work."""


class Remembered(nn.Module):
    """Keeps a network's features of the last two images, so that they are computed once.

    In each step several terms need the features of the same restored and true faces.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._known: list[tuple[Tensor, Sequence[Tensor]]] = []

    def forward(self, image: Tensor) -> Sequence[Tensor]:
        for known, maps in self._known:
            if known is image:
                return maps
        maps = self.network(image)
        self._known = [*self._known[-1:], (image, maps)]
        return maps

    def forget(self) -> None:
        self._known = []


class ProjectedDiscriminator(nn.Module):
    """Logits of small heads on feature maps and of one on the pixels: high for real faces.

    Args:
        channels: of the maps that it gets.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        heads = zip(channels, _WIDTHS, strict=True)
        self.heads = nn.ModuleList(_head(inputs, width) for inputs, width in heads)
        self.pixels = nn.Sequential(
            *(_conv(3, 32, 4, 2), nn.LeakyReLU(0.2)),
            *(_conv(32, 64, 4, 2), nn.LeakyReLU(0.2)),
            *(_conv(64, 64, 4, 2), nn.LeakyReLU(0.2)),
            _conv(64, 1, 3, 1),
        )
        # In training mode every forward pass would update the spectral norms' estimates; see `follow_norms`.
        self.eval()

    def follow_norms(self) -> None:
        """Update the estimates of the weights' spectral norms by one power iteration."""
        self.train()
        for module in self.modules():
            if is_parametrized(module, "weight"):
                _ = module.weight  # reading it runs the power iteration
        self.eval()

    def forward(self, image: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """[B, 3, S, S] in [-1, 1] and its maps to logits [B, 1, h, w], one map for each head."""
        logits = [head(features) for head, features in zip(self.heads, maps, strict=True)]
        return [*logits, self.pixels(image)]


def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding=1))


def _head(inputs: int, width: int) -> nn.Sequential:
    # Features of different networks have different scales; the normalisation makes them alike.
    normal = nn.GroupNorm(1, inputs, affine=False)
    return nn.Sequential(normal, _conv(inputs, width, 3, 1), nn.LeakyReLU(0.2), _conv(width, 1, 3, 1))


class ProjectedGame:
    """Hinge loss of a ``ProjectedDiscriminator`` (Lim and Ye 2017, "Geometric GAN").

    Args:
        weight: of the generator's term.
        network: gives the maps of relu1_1 to relu4_1; the first, of full resolution, is left out.
    """

    def __init__(self, weight: float, network: Remembered) -> None:
        self.weight, self.network = weight, network

    def generator_term(
        self, discriminator: nn.Module, restored: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Weighted loss that falls as the logits rise, everywhere."""
        logits = discriminator(restored, self.network(restored)[1:])
        return -self.weight * torch.stack([x.float().mean() for x in logits]).mean()

    def discriminator_terms(
        self,
        discriminator: nn.Module,
        restored: Tensor,
        truth: Tensor,
        generator: torch.Generator,
        step: int,
    ) -> dict[str, Tensor]:
        """Hinge loss of the discriminator. No gradient reaches the restoring network."""
        fake, real = (
            discriminator(image.detach(), [x.detach() for x in self.network(image)[1:]])
            for image in (restored, truth)
        )
        self.network.forget()
        losses = [
            F.relu(1 - r.float()).mean() + F.relu(1 + f.float()).mean()
            for r, f in zip(real, fake, strict=True)
        ]
        return {"discriminator": torch.stack(losses).mean()}

    def weights_moved(self, discriminator: ProjectedDiscriminator) -> None:
        discriminator.follow_norms()
