"""Grow a network to twice its size without changing its function."""

from __future__ import annotations

import dataclasses
import math
from typing import cast

import torch
from torch import Tensor

from ..errors import ArchitectureError, OptionError
from .encoders import ConvEncoder, EncoderStage
from .layers import GAIN, SLOPE, ToRgb
from .network import Generator, Gpen

__all__ = ["grow"]


def grow(model: Gpen, to: int | None = None) -> Gpen:
    """A model of twice the size, or of ``to`` pixels, that starts as the same function.

    With the filters of ``layers``, once grown it is ``upsample(model(downsample(x)))``: the old encoder sees
    the picture at its old size, and the new resolution's RGB layer starts at zero. The new synthesis layers
    are duplicates of the last old ones, cut to the narrower width; the features that enter them are those of
    the new finest encoder stage. A super-resolving model keeps its input, and the new resolution has the
    noise that stands in for features: it is ``upsample(model(x))``. Old and new parameters live in one
    ordinary ``Gpen``; the old one is not touched.

    Args:
        model: of any size, either encoder.
        to: side of the new model's output in pixels, 2, 4, 8 … times the old one's; None doubles it.

    Raises:
        OptionError: ``to`` is not reached by doubling.
        ArchitectureError: the new size is over 2048, or has fewer than 6 channels.
    """
    to = 2 * model.config.size if to is None else to
    times = to / model.config.size
    if times < 2 or not math.log2(times).is_integer():
        raise OptionError(
            f"A model of {model.config.size} px cannot grow to {to}; expected its double, or the double "
            "of that and so on."
        )
    while model.config.size < to:
        model = _double(model)
    return model


@torch.no_grad()
def _double(model: Gpen) -> Gpen:
    old = model.config
    new = dataclasses.replace(old, size=2 * old.size)
    if old.input_size == old.size:
        new = dataclasses.replace(new, input_size=new.size)
        if old.encoder == "resnet50":
            new = dataclasses.replace(new, octaves=old.octaves + 1)
    grown = Gpen(new).to(next(model.parameters()))
    grown.mapper.load_state_dict(model.mapper.state_dict())
    if new.input_size == old.input_size:
        grown.encoder.load_state_dict(model.encoder.state_dict())
    elif isinstance(model.encoder, ConvEncoder) and isinstance(grown.encoder, ConvEncoder):
        _grow_conv_encoder(model.encoder, grown.encoder)
    else:
        # The trunk goes on seeing the picture at its old size; only the new size's 1×1 convolution is new.
        grown.encoder.load_state_dict(model.encoder.state_dict(), strict=False)
    _grow_generator(model.generator, grown.generator, concat=old.concat)
    return grown


def _grow_conv_encoder(old: ConvEncoder, new: ConvEncoder) -> None:
    """Stage 0 carries the picture and its negative through the leaky ReLU; stage 1 gives what stage 0 gave.

    lrelu(x) - lrelu(-x) = (1 + slope)·x, so six channels hold a linear picture. They have no bias, which the
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


def _grow_generator(old: Generator, new: Generator, *, concat: bool) -> None:
    state = old.state_dict()
    for name, tensor in new.state_dict().items():
        if name in state:
            tensor.copy_(state[name])
            continue
        kind, n, rest = name.split(".", 2)
        step = 1 if kind == "to_rgbs" else 2  # Two convolutions a resolution: upsampling and plain.
        _copy_part(state[f"{kind}.{int(n) - step}.{rest}"], tensor, rest, concat=concat)
    rgb = cast("ToRgb", new.to_rgbs[-1])
    rgb.conv.weight.zero_()
    rgb.bias.zero_()


def _copy_part(source: Tensor, target: Tensor, rest: str, *, concat: bool) -> None:
    """Fill ``target`` with the first channels of ``source``; of a concatenation, the first of both halves."""
    for axis, (wide, slim) in enumerate(zip(source.shape, target.shape, strict=True)):
        if wide == slim:
            continue
        is_output = rest == "conv.weight" and axis == 1
        if concat and not is_output:
            halves = [torch.arange(slim // 2), wide // 2 + torch.arange(slim // 2)]
            index = torch.cat(halves)
        else:
            index = torch.arange(slim)
        source = source.index_select(axis, index.to(source.device))
    target.copy_(source)
