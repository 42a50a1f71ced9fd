"""Make a network wider without changing its function."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from ..errors import OptionError
from .network import Gpen

__all__ = ["widen"]


@torch.no_grad()
def widen(model: Gpen, narrow: float) -> Gpen:
    """A model of the same size with more channels, that starts as the same function.

    Weights from new channels to old ones are 0, so the old channels stay as they are. Weights that make new
    channels start at random, so that the zeros have something to learn from. Duplicated channels
    (Net2WiderNet, Chen et al. 2016) would not do: demodulation normalises by all that a convolution reads.

    Args:
        model: of either encoder; it is not touched.
        narrow: width of the new model as ``GpenConfig`` counts it, more than the old one's.

    Raises:
        OptionError: ``narrow`` makes it no wider.
    """
    if narrow <= model.config.narrow:
        raise OptionError(
            f"A model of narrow {model.config.narrow:g} cannot be widened to {narrow:g}; expected more."
        )
    wide = Gpen(dataclasses.replace(model.config, narrow=narrow)).to(next(model.parameters()))
    for name, module in wide.named_modules():
        slim = model.get_submodule(name)
        before, after = (getattr(m, "scale", None) for m in (slim, module))  # 1/√fan-in of equalised layers
        gain = before / after if isinstance(before, float) and isinstance(after, float) else 1.0
        for own, tensor in module.named_parameters(recurse=False):
            source = slim.get_parameter(own)
            _place(source * gain if own == "weight" else source, tensor, f"{name}.{own}", model)
    return wide


def _place(source: Tensor, target: nn.Parameter, name: str, model: Gpen) -> None:
    """Put old weights where the old channels are; new inputs of old outputs get 0."""
    places = [
        _old_channels(slim, wide, halves=_has_halves(name, axis, model))
        for axis, (slim, wide) in enumerate(zip(source.shape, target.shape, strict=True))
    ]
    reads = _input_axis(name, source.dim())
    if reads is not None:
        old_outputs = list(places)
        old_outputs[reads] = torch.arange(target.shape[reads])
        target[torch.meshgrid(*old_outputs, indexing="ij")] = 0
    target[torch.meshgrid(*places, indexing="ij")] = source


def _old_channels(slim: int, wide: int, *, halves: bool) -> Tensor:
    """Where the old channels stand among the new ones."""
    if not halves:
        return torch.arange(slim)
    return torch.cat((torch.arange(slim // 2), wide // 2 + torch.arange(slim // 2)))


def _has_halves(name: str, axis: int, model: Gpen) -> bool:
    """Whether an axis counts features of the generator and of the encoder, one after the other."""
    if not model.config.concat or not name.startswith("generator."):
        return False
    if name.endswith("activate.bias"):
        return True
    if name.startswith(("generator.conv1.", "generator.input.")):
        return False  # The constant input has no encoder's features beside it.
    return (name.endswith("conv.weight") and axis == 2) or (".modulation." in name and axis == 0)


def _input_axis(name: str, dimensions: int) -> int | None:
    """Which axis of a weight counts what it reads, if that may be channels of the network."""
    if not name.endswith("weight") or dimensions < 2 or ".modulation." in name:
        return None
    return 2 if dimensions == 5 else 1
