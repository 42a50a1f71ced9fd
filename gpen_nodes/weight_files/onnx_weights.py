"""The weights of an ONNX file, read without onnx or onnxruntime.

ONNX is protobuf. Of its wire format (https://protobuf.dev/programming-guides/encoding) only what leads to the
initializers is needed: ModelProto.graph is field 7, GraphProto.initializer is field 5, and TensorProto has
dims in 1, data_type in 2, float_data in 4, name in 8, raw_data in 9 and data_location in 14
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError

__all__ = ["read_onnx_weights"]

_FLOAT32 = 1  # TensorProto.DataType.FLOAT


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
        data = memoryview(path.read_bytes())
        weights = dict(_tensor(t) for graph in _messages(data, 7) for t in _messages(graph, 5))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise CheckpointError(f"{path} is damaged or no ONNX file: {error}. Get the file again.") from error
    weights.pop("", None)
    if not weights:
        raise CheckpointError(f"{path} holds no float32 weights; expected an ONNX model. Get the file again.")
    return weights


def _messages(data: memoryview, field: int) -> Iterator[memoryview]:
    """The messages in one field of a message."""
    return (value for number, value in _fields(data) if number == field and isinstance(value, memoryview))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: an int for a varint, else the bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + length > len(data):
            raise ValueError(f"a field of {length} bytes is cut off after {len(data) - at}")
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The variable-length integer that starts at byte ``at``, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("an integer is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("an integer of more than 64 bits")


def _tensor(message: memoryview) -> tuple[str, Tensor]:
    """Name and values of a TensorProto; the empty name where it isn't float32."""
    dims: list[int] = []
    values: list[memoryview] = []
    name, dtype = "", 0
    for number, value in _fields(message):
        if number == 1:  # repeated int64: one by one, or packed
            dims += [value] if isinstance(value, int) else _packed_varints(value)
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


def _packed_varints(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values
