"""The two encoders: picture in, style vector and one feature map per resolution out."""

from __future__ import annotations

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from .config import GpenConfig
from .layers import ActivatedBias, EqualLinear, activate, blur, downsample, standard_normal

__all__ = ["ConvEncoder", "ResNetEncoder"]


class EncoderStage(ActivatedBias):
    """Equalised convolution with bias and activation; with ``down``, low-pass and stride 2 first."""

    def __init__(self, in_channels: int, out_channels: int, *, down: bool) -> None:
        super().__init__(out_channels)
        kernel_size = 3 if down else 1
        self.weight = nn.Parameter(standard_normal(out_channels, in_channels, kernel_size, kernel_size))
        self.scale = 1 / math.sqrt(in_channels * kernel_size**2)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        weight = (self.weight * self.scale).to(x.dtype)
        x = F.conv2d(blur(x, padding=2), weight, stride=2) if self.down else F.conv2d(x, weight)
        return super().forward(x)


class ConvEncoder(nn.Module):
    """The released checkpoints' encoder: 1×1 convolution, then one stride-2 stage an octave, down to 4 px."""

    def __init__(self, config: GpenConfig) -> None:
        super().__init__()
        widths = config.widths
        resolutions = [r for r in sorted(widths, reverse=True) if r <= config.input_size]
        self.stages = nn.ModuleList([EncoderStage(3, widths[config.input_size], down=False)])
        for finer, coarser in pairwise(resolutions):
            self.stages.append(EncoderStage(widths[finer], widths[coarser], down=True))
        self.to_style = EqualLinear(widths[4] * 16, config.style_dim, activated=True)

    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """[B, 3, S, S] to [B, style_dim] and {resolution: [B, C, resolution, resolution]}."""
        features, x = {}, image
        for stage in self.stages:
            x = stage(x)
            features[int(x.shape[-1])] = x
        # Flattened in NCHW order whatever the memory format.
        return self.to_style(x.contiguous().flatten(1)), features


class Bottleneck(nn.Module):
    """ResNet's 1×1, 3×3, 1×1 block (He et al. 2016, figure 5) without normalisation.

    The last convolution starts at zero (Fixup, Zhang et al. 2019), so that an untrained stack does not
    explode.
    """

    def __init__(self, in_channels: int, mid_channels: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * mid_channels
        self.conv1 = nn.Conv2d(in_channels, mid_channels, 1)
        self.conv2 = nn.Conv2d(mid_channels, mid_channels, 3, stride, padding=1)
        self.conv3 = nn.Conv2d(mid_channels, out_channels, 1)
        nn.init.zeros_(self.conv3.weight)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        return F.relu(self.conv3(x) + skip)


class ResNetEncoder(nn.Module):
    """The bundle's encoder: ResNet-50 with its normalisation folded into biased convolutions.

    The feature of stride k enters the generator at size / k through a 1×1 convolution, the picture itself at
    full size; below stride 32 one stride-2 convolution an octave goes on down to 4 px. A grown model's trunk
    sees the picture halved ``octaves`` times, and the larger pictures enter by their 1×1 convolutions alone.
    Tensor names of the trunk are torchvision's.
    """

    def __init__(self, config: GpenConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3)
        size = config.input_size >> config.octaves
        channels, taps = 64, {config.input_size >> k: 3 for k in range(config.octaves + 1)}
        taps[size // 2] = 64
        for k, (mid, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
            layer = [Bottleneck(channels, mid, 1 if k == 1 else 2)]
            channels = 4 * mid
            layer += [Bottleneck(channels, mid, 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{k}", nn.Sequential(*layer))
            taps[size >> (k + 1)] = channels
        self.fc = nn.Linear(channels, config.style_dim)
        widths = config.widths
        self.octaves = config.octaves
        self.lateral = nn.ModuleDict({str(r): nn.Conv2d(c, widths[r], 1) for r, c in taps.items() if r >= 4})
        resolutions = [r for r in sorted(widths, reverse=True) if r <= size // 32]
        self.deeper = nn.ModuleDict(
            {
                str(coarse): nn.Conv2d(widths[fine], widths[coarse], 3, 2, padding=1)
                for fine, coarse in pairwise(resolutions)
            }
        )

    def forward(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """[B, 3, S, S] to [B, style_dim] and {resolution: [B, C, resolution, resolution]}."""
        taps = [image]
        for _ in range(self.octaves):
            taps.append(downsample(taps[-1]))
        stem = F.relu(self.conv1(taps[-1]))
        taps.append(stem)
        x = F.max_pool2d(stem, 3, 2, padding=1)
        for k in range(1, 5):
            x = self.get_submodule(f"layer{k}")(x)
            taps.append(x)
        features = {
            t.shape[-1]: activate(self.lateral[str(t.shape[-1])](t))
            for t in taps
            if str(t.shape[-1]) in self.lateral
        }
        style = self.fc(x.mean(dim=(2, 3)))
        for resolution, conv in self.deeper.items():
            features[int(resolution)] = activate(conv(features[2 * int(resolution)]))
        return style, features
