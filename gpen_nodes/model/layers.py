"""The layers of StyleGAN2 that GPEN is made of, written from the papers.

Weights are stored before the equalised-learning-rate scale 1/sqrt(fan_in) (Karras et al., Progressive
Growing of GANs, section 4.1), as the released checkpoints store them. Activations are NCHW.

Parameters are made by ``torch.full`` and ``standard_normal`` alone. On the meta device, where the network of
a checkpoint is described, torch's other functions load its compiler (in torch 2.3 even ``zeros``, ``ones``).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "FIR",
    "ActivatedBias",
    "EqualLinear",
    "FeatureInjection",
    "ModulatedConv",
    "PixelNorm",
    "StyledConv",
    "ToRgb",
    "activate",
    "blur",
    "downsample",
    "standard_normal",
    "upsample",
]

SLOPE, GAIN = 0.2, math.sqrt(2)
FIR = tuple(tuple(a * b / 64 for b in (1, 3, 3, 1)) for a in (1, 3, 3, 1))
"""The one low-pass filter of all released models, [1, 3, 3, 1] in both directions, summing to 1."""


def _depthwise_fir(x: Tensor, gain: float) -> Tensor:
    # Made on the device: copying FIR to it would make the host wait for the device in every layer.
    taps = x.new_full((4,), 1 / 8)
    taps[1:3].fill_(3 / 8)
    return (torch.outer(taps, taps) * gain).expand(x.shape[1], 1, 4, 4)


def blur(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """Low-pass every channel on its own; ``padding`` zeros on each side, so H grows by 2·padding - 3."""
    return F.conv2d(x, _depthwise_fir(x, gain), padding=padding, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """[B, C, H, W] to [B, C, 2H, 2W]: zero insertion, then the low-pass with gain 4."""
    return F.conv_transpose2d(x, _depthwise_fir(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def downsample(x: Tensor) -> Tensor:
    """[B, C, 2H, 2W] to [B, C, H, W]: the low-pass, then every second pixel; zeros beyond the border."""
    return F.conv2d(x, _depthwise_fir(x, 1.0), stride=2, padding=1, groups=x.shape[1])


def standard_normal(*shape: int) -> Tensor:
    """Initial values of a weight. On the meta device none are drawn, which would load torch's compiler."""
    weight = torch.empty(shape)
    return weight if weight.is_meta else weight.normal_()


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2 with gain sqrt(2), which keeps the variance of a unit Gaussian near 1."""
    return F.leaky_relu(x, SLOPE) * GAIN


class PixelNorm(nn.Module):
    """Divide a style vector by its root mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class ActivatedBias(nn.Module):
    """Add a bias to each channel, then the activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full((channels,), 0.0))

    def forward(self, x: Tensor) -> Tensor:
        # The gain moves inside the leaky ReLU (it is positively homogeneous): one pass over memory less.
        return F.leaky_relu_(x * GAIN + (self.bias * GAIN).to(x.dtype).view(1, -1, 1, 1), SLOPE)


class EqualLinear(nn.Module):
    """A fully connected layer with equalised learning rate: [B, in] to [B, out]."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
        activated: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(standard_normal(out_features, in_features).mul_(1 / lr_multiplier))
        self.bias = nn.Parameter(torch.full((out_features,), bias_init))
        self.scale = lr_multiplier / math.sqrt(in_features)
        self.lr_multiplier = lr_multiplier
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight * self.scale, self.bias * self.lr_multiplier)
        return activate(x) if self.activated else x


class ModulatedConv(nn.Module):
    """Weight-modulated convolution (StyleGAN2, section 2.2).

    Modulation is applied to the input and demodulation to the output, which is the same function as
    modulating the weights of each sample and lets a batch share one convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        style_dim: int,
        *,
        demodulate: bool = True,
        up: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(standard_normal(1, out_channels, in_channels, kernel_size, kernel_size))
        self.modulation = EqualLinear(style_dim, in_channels, bias_init=1.0)
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.demodulate = demodulate
        self.up = up

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """[B, in, H, W] and [B, style_dim] to [B, out, H, W], or twice as large with ``up``."""
        weight = self.weight[0] * self.scale
        style = self.modulation(style)
        x = x * style.to(x.dtype)[:, :, None, None]
        if self.up:
            x = F.conv_transpose2d(x, weight.transpose(0, 1).to(x.dtype), stride=2)
            x = blur(x, padding=1, gain=4.0)
        else:
            x = F.conv2d(x, weight.to(x.dtype), padding=weight.shape[-1] // 2)
        if self.demodulate:
            energy = style.square() @ weight.square().sum(dim=(2, 3)).t()
            x = x * torch.rsqrt(energy + 1e-8).to(x.dtype)[:, :, None, None]
        return x


class FeatureInjection(nn.Module):
    """Where StyleGAN2 adds noise, GPEN concatenates (or adds) the encoder's features times a gain.

    The gain starts at 1, so that an image reaches the output from the first training step.
    """

    def __init__(self, concat: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), 1.0))
        self.concat = concat

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        feature = feature.to(x.dtype) * self.weight.to(x.dtype)
        return torch.cat((x, feature), dim=1) if self.concat else x + feature


class StyledConv(nn.Module):
    """Modulated 3×3 convolution, feature injection, bias and activation."""

    def __init__(
        self, in_channels: int, out_channels: int, style_dim: int, *, concat: bool, up: bool = False
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, out_channels, 3, style_dim, up=up)
        self.noise = FeatureInjection(concat)
        self.activate = ActivatedBias(out_channels * (2 if concat else 1))

    def forward(self, x: Tensor, style: Tensor, feature: Tensor) -> Tensor:
        return self.activate(self.noise(self.conv(x, style), feature))


class ToRgb(nn.Module):
    """Modulated 1×1 convolution to RGB, added to the upsampled image of the resolution below."""

    def __init__(self, in_channels: int, style_dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, 3, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.full((1, 3, 1, 1), 0.0))

    def forward(self, x: Tensor, style: Tensor, skip: Tensor | None = None) -> Tensor:
        rgb = self.conv(x, style).to(self.bias.dtype) + self.bias
        return rgb if skip is None else rgb + upsample(skip)
