"""StyleGAN2's residual discriminator, for training."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import DiscriminatorConfig
from .layers import ActivatedBias, EqualLinear, blur, standard_normal

__all__ = ["Discriminator"]


class EqualConv(nn.Module):
    """Equalised convolution without bias; with ``down``, low-pass and stride 2."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(standard_normal(out_channels, in_channels, kernel_size, kernel_size))
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * self.scale).to(x.dtype)
        size = weight.shape[-1]
        if not self.down:
            return F.conv2d(x, weight, padding=size // 2)
        return F.conv2d(blur(x, padding=size // 2 + 1), weight, stride=2)


class LowPass(nn.Module):
    """Holds the place of the stored filter in a sequence; ``EqualConv`` applies it."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def _conv_layer(in_channels: int, out_channels: int, kernel_size: int, *, down=False, activated=True):
    layers: list[nn.Module] = [LowPass()] if down else []
    layers.append(EqualConv(in_channels, out_channels, kernel_size, down=down))
    if activated:
        layers.append(ActivatedBias(out_channels))
    return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, the second with stride 2, and a linear 1×1 skip of stride 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = _conv_layer(in_channels, in_channels, 3)
        self.conv2 = _conv_layer(in_channels, out_channels, 3, down=True)
        self.skip = _conv_layer(in_channels, out_channels, 1, down=True, activated=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


class Discriminator(nn.Module):
    """Images [B, 3, size, size] in [-1, 1] to one logit each, [B, 1]: high for real ones.

    Tensor names are those of the released ``-D`` checkpoints, without their stored filters.
    """

    GROUP = 4  # Samples over which the minibatch standard deviation is taken (Karras et al. 2018).

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        resolutions = sorted(widths, reverse=True)
        self.convs = nn.Sequential(_conv_layer(3, widths[config.size], 1))
        for fine, coarse in pairwise(resolutions):
            self.convs.append(ResidualBlock(widths[fine], widths[coarse]))
        self.final_conv = _conv_layer(widths[4] + 1, widths[4], 3)
        self.final_linear = nn.Sequential(
            EqualLinear(widths[4] * 16, widths[4], activated=True), EqualLinear(widths[4], 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.convs(image)
        x = self.final_conv(torch.cat((x, self._group_deviation(x)), dim=1))
        return self.final_linear(x.contiguous().flatten(1))

    def _group_deviation(self, x: Tensor) -> Tensor:
        """The mean standard deviation over each group of samples, as one more channel, [B, 1, H, W]."""
        batch, _, height, width = x.shape
        group = next(g for g in range(min(batch, self.GROUP), 0, -1) if batch % g == 0)
        # In fp32: fp16 rounds 1e-8 to nothing, and a root's slope at 0 is infinite.
        groups = x.reshape(group, -1, *x.shape[1:]).float()
        deviation = torch.sqrt(groups.var(dim=0, unbiased=False) + 1e-8).mean(dim=(1, 2, 3))
        return deviation.repeat(group).view(batch, 1, 1, 1).expand(-1, -1, height, width).to(x.dtype)
