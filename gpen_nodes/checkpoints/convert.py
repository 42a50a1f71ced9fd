"""Tensors as a file stores them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import OptionError

__all__ = ["convert"]


def convert(state: dict[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Each tensor as a contiguous copy on the CPU; saving a view would save the whole storage behind it.

    Raises:
        OptionError: numbers too large for ``dtype``.
    """
    converted = {}
    for name, tensor in state.items():
        copy = tensor.detach().to("cpu", dtype, copy=True).contiguous()
        if dtype is not None and not torch.isfinite(copy).all():
            raise OptionError(f"{name} holds numbers that {dtype} cannot; choose a wider type.")
        converted[name] = copy
    return converted
