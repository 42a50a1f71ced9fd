"""The weights of an ONNX file, read without onnx or onnxruntime.

ONNX is protobuf, and only what leads to the initializers is needed: ModelProto.graph is field 7,
GraphProto.initializer is field 5, and TensorProto has dims in 1, data_type in 2, float_data in 4, name in 8,
raw_data in 9 and data_location in 14
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError
from ..protobuf import Protobuf

__all__ = ["read_onnx_weights"]

_FLOAT32 = 1  # TensorProto.DataType.FLOAT
_PARTS = 100_000  # fields and packed numbers, many more than a small network's file has


def read_onnx_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the float32 initializers of an ONNX file.

    Args:
        path: the file.

    Returns:
        Name to tensor, in the file's order. Initializers of other types (shape constants) are left out.

    Raises:
        CheckpointError: no such file, cut off, not ONNX, or its weights are kept in another file.
    """
    path = Path(path)
    try:
        data, wire = memoryview(path.read_bytes()), Protobuf(limit=_PARTS)
        weights = dict(_tensor(wire, t) for graph in wire.messages(data, 7) for t in wire.messages(graph, 5))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise CheckpointError(f"{path} is damaged or no ONNX file: {error}. Get the file again.") from error
    weights.pop("", None)
    if not weights:
        raise CheckpointError(f"{path} holds no float32 weights; expected an ONNX model. Get the file again.")
    return weights


def _tensor(wire: Protobuf, message: memoryview) -> tuple[str, Tensor]:
    """Name and values of a TensorProto; the empty name where it isn't float32."""
    dims: list[int] = []
    values: list[memoryview] = []
    name, dtype = "", 0
    for number, value in wire.fields(message):
        if number == 1:  # repeated int64: one by one, or packed
            dims += wire.integers(value)
        elif number == 2:
            dtype = value
        elif number == 8 and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number in (4, 9) and isinstance(value, memoryview):
            values.append(value)
        elif number == 14 and value:
            raise ValueError("its weights are kept in another file")
    if dtype != _FLOAT32:
        return "", torch.empty(0, dtype=torch.float32, device="cpu")
    array = np.frombuffer(b"".join(values), dtype="<f4").astype(np.float32)
    if len(array) != math.prod(dims):
        raise ValueError(f"{name} has {len(array)} values for the shape {dims}")
    return name, torch.from_numpy(array).reshape(dims)
