"""What tensor names and shapes tell, with an error that names what is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ..errors import ArchitectureError

__all__ = ["describe", "highest", "tensor_of"]


def describe(state: Mapping[str, Tensor]) -> str:
    names = sorted(state)
    return f"{len(names)} tensors, the first named {', '.join(names[:3])}" if names else "no tensors"


def highest(state: Mapping[str, Tensor], pattern: str) -> int:
    """The highest number that ``pattern`` captures among the tensor names, or -1."""
    found = [m[1] for m in (re.match(pattern, name) for name in state) if m]
    longest = max(found, key=len, default="")
    if len(longest) > 2:  # a network of a thousand layers is never built to say that the file has no such
        raise ArchitectureError(f"Found a layer numbered {longest[:20]}; no GPEN has a hundred layers.")
    return max(map(int, found), default=-1)


def tensor_of(state: Mapping[str, Tensor], name: str, dims: int) -> Tensor:
    tensor = state.get(name)
    if tensor is None or tensor.dim() != dims:
        found = "nothing" if tensor is None else f"shape {tuple(tensor.shape)}"
        raise ArchitectureError(
            f"This is not a complete GPEN: expected a tensor {name} with {dims} axes, found {found} "
            f"(the file holds {describe(state)}). Download the checkpoint again or choose another file."
        )
    return tensor
