"""Encoders: image in, style code and one feature map a resolution out.

A further one is a file with what the table asks for, its line there, and one in the table of
``inference/folded/encoders.py`` that tells how it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

from .conv import ConvEncoder, EncoderStage, conv_fields, conv_mapper, grow_conv_encoder
from .resnet50 import Bottleneck, ResNetEncoder, grow_resnet_encoder, resnet_fields, resnet_mapper

if TYPE_CHECKING:
    from ..config import GpenConfig

__all__ = ["ENCODERS", "Bottleneck", "ConvEncoder", "EncoderKind", "EncoderStage", "ResNetEncoder"]


class EncoderKind(NamedTuple):
    """An encoder that checkpoints have.

    Attributes:
        label: what people call it.
        stem: a tensor that no other encoder has, under this package's names.
        fields: from such tensors, the fields of ``GpenConfig`` that depend on the encoder.
        build: makes the module: [B, 3, S, S] to a style code [B, style_dim] and {resolution: feature map}.
        mapper: makes what turns its style code into the style vector.
        grow: fills an encoder of twice the size from the old one, so that it gives the same features.
        mapping_depth: the only one that it goes with; None for any.
        counts_octaves: growing halves its image once more and leaves its trunk as it was.
        released: whether the released layout has names for it.
    """

    label: str
    stem: str
    fields: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    build: Callable[[GpenConfig], nn.Module]
    mapper: Callable[[GpenConfig], nn.Sequential]
    grow: Callable[[Any, Any], None]
    mapping_depth: int | None = None
    counts_octaves: bool = False
    released: bool = True


ENCODERS: Mapping[str, EncoderKind] = MappingProxyType(
    {
        "conv": EncoderKind(
            "convolutional",
            "encoder.stages.0.weight",
            conv_fields,
            ConvEncoder,
            conv_mapper,
            grow_conv_encoder,
        ),
        "resnet50": EncoderKind(
            "ResNet-50",
            "encoder.conv1.weight",
            resnet_fields,
            ResNetEncoder,
            resnet_mapper,
            grow_resnet_encoder,
            mapping_depth=2,
            counts_octaves=True,
            released=False,
        ),
    }
)
"""By the name that ``GpenConfig.encoder`` has."""
