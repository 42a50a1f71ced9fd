"""Weights by tensor name into networks that are not this project's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from ..errors import CheckpointError

__all__ = ["fill"]

Network = TypeVar("Network", bound=nn.Module)


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
