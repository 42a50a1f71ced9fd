"""Any file of GPEN weights to a `Checkpoint`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ArchitectureError, CheckpointError
from ..model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig, check_fit
from ..model.names import to_module_names
from .checkpoint import Checkpoint, Layout
from .find import find_weights
from .formats import find_format
from .onnx import OnnxProgram, ProgramError

__all__ = ["read_checkpoint", "read_model", "read_tensors"]

_SLACK = 2**20  # filters that share one storage are checked and dropped


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read weights in any format and layout: see ``formats.FORMATS``; wrapped by others in any way.

    Nothing in the file is run. Its kind is read from its bytes, its network from the tensors' shapes.

    Raises:
        CheckpointError: no such file, or one that is damaged or holds no weights; says what was found.
        UnsafeCheckpointError: the file asks for more than tensors and plain values; names what.
        ArchitectureError: the tensors are no complete GPEN.
    """
    path = Path(path)
    layout, tensors, args = _read(path)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise CheckpointError(f"{path}: {name} is of {tensor.dtype}; expected floating point.")
    try:
        state = to_module_names(tensors)
        config = _check_fit(state)
    except ArchitectureError as error:
        raise ArchitectureError(f"{path}: {error}") from error
    except (ArithmeticError, RuntimeError) as error:  # a width of zero
        raise ArchitectureError(f"{path}: its tensors' shapes describe no network ({error}).") from error
    _check_finite(state, path)
    return Checkpoint(state, config, args, layout, path)


def read_model(path: str | os.PathLike[str]) -> Checkpoint | OnnxProgram:
    """What can restore: weights, or an ONNX graph whose weights cannot be taken out of it.

    Raises:
        CheckpointError, UnsafeCheckpointError, ArchitectureError: as ``read_checkpoint``.
    """
    try:
        return read_checkpoint(path)
    except ProgramError as error:
        return error.program


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of any such file under the names that it has, whatever network they are of.

    Raises:
        CheckpointError, UnsafeCheckpointError: as ``read_checkpoint``.
    """
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[Layout, dict[str, Tensor], dict[str, Any]]:
    format = find_format(path)
    tree, metadata = format.read(path)
    found = find_weights(tree, path)
    tensors = found.tensors.values()
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in tensors}
    held = sum(storage.nbytes() for storage in storages.values())
    if needed > held + _SLACK:  # views of one storage, each of which becomes a copy
        raise CheckpointError(
            f"{path}: its tensors would take {needed >> 20} MB, and it holds {held >> 20}. Save each alone."
        )
    layout: Layout = "bundle" if found.is_bundle and format.name == "flat" else format.name
    return layout, found.tensors, {**metadata, **found.args}


def _check_fit(state: Mapping[str, Tensor]) -> GpenConfig | DiscriminatorConfig:
    """The network that the shapes describe, after a check that it takes every tensor and lacks none."""
    with torch.device("meta"):  # the network has shapes, and no memory
        if "final_conv.0.weight" in state and "generator.input.input" not in state:
            network = Discriminator(DiscriminatorConfig.from_state_dict(state))
        else:
            network = Gpen(GpenConfig.from_state_dict(state))
    check_fit(network, state)
    return network.config


def _check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    # A sum is one quick pass over memory, and what isn't finite stays so in it.
    suspects = [name for name, tensor in state.items() if not torch.isfinite(tensor.float().sum())]
    bad = [name for name in suspects if not torch.isfinite(state[name]).all()]
    if bad:
        raise CheckpointError(
            f"{path}: {bad[0]} holds NaN or infinity ({len(bad)} of {len(state)} tensors do). Its training "
            "had failed, or it was damaged: get an earlier or another file."
        )
