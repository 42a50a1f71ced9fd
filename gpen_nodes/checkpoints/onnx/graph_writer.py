"""ONNX graphs, written node by node in protobuf's wire format: neither onnx nor an exporter is needed.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ...protobuf import encode_field, encode_varint

__all__ = ["GraphWriter"]

OPSET, IR_VERSION = 17, 8
_TYPES = {np.dtype(np.float32): 1, np.dtype(np.float16): 10, np.dtype(np.int64): 7}

Attribute = float | int | Sequence[int]


class GraphWriter:
    """Collects nodes and constants. Values are known by names, which ``add`` and ``constant`` give.

    Args:
        dtype: of the constants that ``constant`` makes by default.
    """

    def __init__(self, dtype: type[np.floating]) -> None:
        self.dtype = dtype
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []  # heads and contents in turn, so that contents are copied once

    def constant(self, value: Tensor | np.ndarray | float | Sequence[int], dtype: type | None = None) -> str:
        """A constant; whole numbers are int64."""
        array = np.asarray(value.detach().numpy() if isinstance(value, Tensor) else value)
        kind = np.int64 if array.dtype.kind == "i" else dtype or self.dtype
        name = f"constant_{len(self._constants) // 2}"
        # Not ascontiguousarray, which makes a scalar an array of one axis.
        content = np.asarray(array, np.dtype(kind).newbyteorder("<"), order="C").tobytes()
        head = b"".join(encode_field(1, size) for size in array.shape)
        head += encode_field(2, _TYPES[np.dtype(kind)]) + encode_field(8, name)
        head += encode_varint(9 << 3 | 2) + encode_varint(len(content))
        size = len(head) + len(content)
        self._constants += [encode_varint(5 << 3 | 2) + encode_varint(size) + head, content]
        return name

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Attribute) -> str:
        """A node with one output, whose name it gives."""
        output = output or f"value_{len(self._nodes)}"
        node = b"".join(encode_field(1, name) for name in inputs) + encode_field(2, output)
        node += encode_field(3, output) + encode_field(4, op)
        node += b"".join(encode_field(5, _attribute(name, value)) for name, value in attributes.items())
        self._nodes.append(node)
        return output

    def model(self, inputs: dict[str, Sequence[int | str]], outputs: dict[str, Sequence[int | str]]) -> bytes:
        """The whole ModelProto; sizes of float32 inputs and outputs are numbers, or names where they vary."""
        parts = [encode_field(1, node) for node in self._nodes] + [encode_field(2, "gpen"), *self._constants]
        parts += [encode_field(11, _value_info(*item)) for item in inputs.items()]
        parts += [encode_field(12, _value_info(*item)) for item in outputs.items()]
        head = encode_field(1, IR_VERSION) + encode_field(2, "gpen-nodes")
        head += encode_varint(7 << 3 | 2) + encode_varint(sum(map(len, parts)))
        return b"".join([head, *parts, encode_field(8, encode_field(2, OPSET))])


def _attribute(name: str, value: Attribute) -> bytes:
    data = encode_field(1, name)
    if isinstance(value, float):
        return data + encode_varint(2 << 3 | 5) + struct.pack("<f", value) + encode_field(20, 1)
    if isinstance(value, int):
        return data + encode_field(3, value) + encode_field(20, 2)
    return data + b"".join(encode_field(8, number) for number in value) + encode_field(20, 7)


def _value_info(name: str, shape: Sequence[int | str]) -> bytes:
    sizes = [encode_field(1 if isinstance(size, int) else 2, size) for size in shape]
    tensor = encode_field(1, 1) + encode_field(2, b"".join(encode_field(1, size) for size in sizes))
    return encode_field(1, name) + encode_field(2, encode_field(1, tensor))
