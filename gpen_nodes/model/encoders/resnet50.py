"""The documented bundle's encoder, and the mapper that follows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArchitectureError
from ..layers import activate, downsample
from ..shapes import describe, tensor_of

if TYPE_CHECKING:
    from ..config import GpenConfig

__all__ = ["ResNetEncoder", "grow_resnet_encoder", "resnet_fields", "resnet_mapper"]


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

    The feature of stride k enters the generator at size / k through a 1×1 convolution, the image itself at
    full size; below stride 32 one stride-2 convolution an octave goes on down to 4 px. A grown model's trunk
    sees the image halved ``octaves`` times, and the larger images enter by their 1×1 convolutions alone.
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


def resnet_mapper(config: GpenConfig) -> nn.Sequential:
    """The bundle's mapper, two layers and LayerNorm: style code to style vector, [B, style_dim]."""
    dim = config.style_dim
    return nn.Sequential(nn.Linear(dim, dim), nn.LeakyReLU(0.2), nn.Linear(dim, dim), nn.LayerNorm(dim))


def resnet_fields(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Fields of ``GpenConfig`` that this encoder's tensors tell."""
    lateral = re.compile(r"encoder\.lateral\.(\d{1,4})\.weight")
    laterals = [m[1] for m in map(lateral.match, state) if m]
    pictures = [r for r in laterals if tensor_of(state, f"encoder.lateral.{r}.weight", 4).shape[1] == 3]
    if not pictures:
        raise ArchitectureError(
            "This GPEN's ResNet-50 has no lateral convolution from the picture (found "
            f"{describe(state)}): expected encoder.lateral.N.weight with 3 input channels."
        )
    return {"input_size": max(map(int, pictures)), "mapping_depth": 2, "octaves": len(pictures) - 1}


def grow_resnet_encoder(old: ResNetEncoder, new: ResNetEncoder) -> None:
    """The trunk goes on seeing the image at its old size; only the new size's 1×1 convolution is new."""
    new.load_state_dict(old.state_dict(), strict=False)
