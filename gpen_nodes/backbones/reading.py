"""Files of weights by tensor name, of networks that are not this project's own."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import CheckpointError

__all__ = ["fill", "read_tensors"]

Network = TypeVar("Network", bound=nn.Module)


def read_tensors(path: str | Path) -> dict[str, Any]:
    """What a file holds by name, on the CPU.

    Raises:
        CheckpointError: it is damaged or holds something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is damaged or no file of weights: {error}. Get it again.") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds a {type(state).__name__}; expected tensors by name.")
    return state


def fill(network: Network, state: Mapping[str, Any], path: str | Path) -> Network:
    """The network with the tensors of ``state`` that it has; what the state holds beyond is left there.

    Raises:
        CheckpointError: names the tensor that is missing or has another shape.
    """
    expected = network.state_dict()
    for name, tensor in expected.items():
        found = getattr(state.get(name), "shape", None)
        if found != tensor.shape:
            raise CheckpointError(
                f"{path} is no {type(network).__name__}: expected {name} of shape {tuple(tensor.shape)}, "
                f"found {tuple(found) if found else 'none'}."
            )
    network.load_state_dict({name: state[name] for name in expected})
    return network
