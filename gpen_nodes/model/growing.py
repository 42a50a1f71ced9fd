"""Grow a network to twice its size without changing its function."""

from __future__ import annotations

import dataclasses
import math
from typing import cast

import torch
from torch import Tensor

from ..errors import OptionError
from .encoders import ENCODERS
from .layers import ToRgb
from .network import Generator, Gpen

__all__ = ["grow"]


def grow(model: Gpen, to: int | None = None) -> Gpen:
    """A model of twice the size, or of ``to`` pixels, that starts as the same function.

    With the filters of ``layers``, once grown it is ``upsample(model(downsample(x)))``: the old encoder sees
    the image at its old size, and the new resolution's RGB layer starts at zero. The new synthesis layers
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
    kind = ENCODERS[old.encoder]
    if old.input_size == old.size:
        octaves = old.octaves + 1 if kind.counts_octaves else old.octaves
        new = dataclasses.replace(new, input_size=new.size, octaves=octaves)
    grown = Gpen(new).to(next(model.parameters()))
    grown.mapper.load_state_dict(model.mapper.state_dict())
    if new.input_size == old.input_size:
        grown.encoder.load_state_dict(model.encoder.state_dict())
    else:
        kind.grow(model.encoder, grown.encoder)
    _grow_generator(model.generator, grown.generator, concat=old.concat)
    return grown


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
