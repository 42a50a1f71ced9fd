"""The released checkpoints' encoder, and the mapper that follows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArchitectureError
from ..layers import GAIN, SLOPE, ActivatedBias, EqualLinear, PixelNorm, blur, standard_normal
from ..shapes import highest

if TYPE_CHECKING:
    from ..config import GpenConfig

__all__ = ["ConvEncoder", "EncoderStage", "conv_fields", "conv_mapper", "grow_conv_encoder"]


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


def conv_mapper(config: GpenConfig) -> nn.Sequential:
    """StyleGAN2's mapper: style code to style vector, [B, style_dim]."""
    dim = config.style_dim
    layers = [EqualLinear(dim, dim, lr_multiplier=0.01, activated=True) for _ in range(config.mapping_depth)]
    return nn.Sequential(PixelNorm(), *layers)


def conv_fields(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Fields of ``GpenConfig`` that this encoder's tensors tell."""
    return {
        "input_size": 2 ** (highest(state, r"encoder\.stages\.(\d+)\.") + 2),
        "mapping_depth": max(0, highest(state, r"mapper\.(\d+)\.weight")),
    }


def grow_conv_encoder(old: ConvEncoder, new: ConvEncoder) -> None:
    """Stage 0 carries the image and its negative through the leaky ReLU; stage 1 gives what stage 0 gave.

    lrelu(x) - lrelu(-x) = (1 + slope)·x, so six channels hold a linear image. They have no bias, which the
    zeros beyond the border would not match. The other channels of stage 0 are free and enter stage 1 with
    weight 0.
    """
    new.to_style.load_state_dict(old.to_style.state_dict())
    entry, *kept = _stages(old)
    fine, coarse, *copies = _stages(new)
    for stage, copy in zip(kept, copies, strict=True):
        copy.load_state_dict(stage.state_dict())
    if fine.weight.shape[0] < 6:
        raise ArchitectureError(
            f"This model is too narrow to grow: it would have {fine.weight.shape[0]} channels at its new "
            "size, and carrying the picture through needs 6. Grow a wider model."
        )
    _carry_picture(fine)
    coarse.weight.zero_()
    picture = entry.weight[:, :, 0, 0] * entry.scale / (GAIN * (1 + SLOPE) * coarse.scale)
    # The low-pass of stage 1 puts the pixel between its two middle taps at the kernel's centre.
    coarse.weight[:, 0:3, 1, 1] = picture
    coarse.weight[:, 3:6, 1, 1] = -picture
    coarse.bias.copy_(entry.bias)


def _stages(encoder: ConvEncoder) -> list[EncoderStage]:
    # A ModuleList does not tell the type of what it holds.
    return cast("list[EncoderStage]", list(encoder.stages))


def _carry_picture(stage: EncoderStage) -> None:
    eye = torch.eye(3, dtype=stage.weight.dtype, device=stage.weight.device) / stage.scale
    stage.weight[0:3, :, 0, 0] = eye
    stage.weight[3:6, :, 0, 0] = -eye
    stage.bias[:6] = 0
