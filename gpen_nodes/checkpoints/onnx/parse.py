"""An ONNX file to its graph: nodes, constants, inputs and outputs.

Field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import math
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...protobuf import Protobuf

__all__ = ["Graph", "Node", "parse"]

MAX_FIELDS = 1_000_000
MAX_NODES = 10_000
MAX_AXES = 16

# TensorProto.DataType; bfloat16 (16) is widened.
_TYPES = {1: "<f4", 10: "<f2", 11: "<f8", 7: "<i8", 6: "<i4", 9: "|b1"}
_BFLOAT16 = 16


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: names of values in and out, and its attributes as Python values and arrays."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass
class Graph:
    """Nodes in the file's order, arrays by name, and the names of what goes in and comes out.

    ``shapes`` are those of inputs and outputs by name, with 0 for what varies; an empty one was not declared.
    """

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    shapes: dict[str, list[int]] = field(default_factory=dict)


def parse(data: memoryview, folder: Path) -> Graph:
    """Read a ModelProto.

    Args:
        data: the file's bytes; arrays without data of their own are views of it.
        folder: the only one in which weights that the file keeps outside may lie.

    Raises:
        ValueError: damaged, far larger than any GPEN's, or with weights outside ``folder``.
    """
    return _Parser(folder).graph(data)


class _Parser:
    def __init__(self, folder: Path) -> None:
        self._folder, self._proto = folder, Protobuf(MAX_FIELDS)
        self._used: dict[Path, int] = {}  # bytes of files outside that became tensors

    def graph(self, data: memoryview) -> Graph:
        graph = Graph()
        for message in self._proto.messages(data, 7):
            for number, value in self._proto.fields(message):
                if isinstance(value, int):
                    continue
                if number == 1:
                    graph.nodes.append(self._node(value))
                elif number == 5:
                    name, array = self._tensor(value)
                    graph.constants[name] = array
                elif number in (11, 12):
                    name = "".join(map(_text, self._proto.messages(value, 1)))
                    (graph.inputs if number == 11 else graph.outputs).append(name)
                    graph.shapes[name] = self._shape(value)
                if len(graph.nodes) > MAX_NODES:
                    raise ValueError(f"it has more than {MAX_NODES:,} nodes")
        return graph

    def _shape(self, data: memoryview) -> list[int]:
        """Of a ValueInfoProto: its type, that is a tensor's, has a shape of dimensions."""
        parts = [data]
        for number in (2, 1, 2, 1):
            parts = [message for part in parts for message in self._proto.messages(part, number)]
        if len(parts) > MAX_AXES:
            raise ValueError("an input or output has an impossible shape")
        sizes = [dict(self._proto.fields(part)).get(1, 0) for part in parts]
        return [size if isinstance(size, int) else 0 for size in sizes]

    def _node(self, data: memoryview) -> Node:
        names: dict[int, list[str]] = {1: [], 2: [], 4: []}
        attributes = {}
        for number, value in self._proto.fields(data):
            if isinstance(value, int):
                continue
            if number in names:
                names[number].append(_text(value))
            elif number == 5:
                name, content = self._attribute(value)
                attributes[name] = content
        return Node("".join(names[4]), tuple(names[1]), tuple(names[2]), attributes)

    def _attribute(self, data: memoryview) -> tuple[str, Any]:
        name, content = "", None
        integers: list[int] = []
        for number, value in self._proto.fields(data):
            if number == 8:
                integers += self._proto.integers(value)
                content = integers
            elif number == 3:
                content = self._proto.integers(value)[0]
            elif isinstance(value, int):
                continue
            elif number == 1:
                name = _text(value)
            elif number == 2:
                content = struct.unpack("<f", value)[0]
            elif number == 4:
                content = bytes(value[:100])
            elif number == 5:
                content = self._tensor(value)[1]
        return name, content

    def _tensor(self, data: memoryview) -> tuple[str, np.ndarray]:
        dims: list[int] = []
        integers: list[int] = []
        parts: list[memoryview] = []
        name, kind, outside = "", 0, {}
        for number, value in self._proto.fields(data):
            if number == 1:
                dims += self._proto.integers(value)
            elif number == 2 and isinstance(value, int):
                kind = value
            elif number in (5, 7):  # int32_data, which holds 16-bit floats too, and int64_data
                integers += self._proto.integers(value)
            elif isinstance(value, int):
                continue
            elif number == 8:
                name = _text(value)
            elif number in (4, 9, 10):
                parts.append(value)
            elif number == 13:
                pair = {n: v for n, v in self._proto.fields(value) if not isinstance(v, int)}
                outside[_text(pair.get(1, _EMPTY))] = _text(pair.get(2, _EMPTY))
        if outside:
            parts = [self._outside(outside)]
        return name, _array(name, kind, dims, parts, integers)

    def _outside(self, entry: dict[str, str]) -> memoryview:
        """A tensor's bytes in a file beside this one."""
        location = entry.get("location", "")
        path = (self._folder / location).resolve()
        if not location or not path.is_relative_to(self._folder.resolve()):
            raise ValueError(f"its weights are in {location!r}, outside its folder")
        if not path.exists():
            raise ValueError(f"its weights are in {location!r}, which is not beside it")
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"its weights are in {location!r}, which is no regular file")
        offset, size = int(entry.get("offset") or 0), path.stat().st_size
        length = int(entry.get("length") or size - offset)
        self._used[path] = self._used.get(path, 0) + max(length, 0)
        if offset < 0 or length < 0 or offset + length > size or self._used[path] > size:
            raise ValueError(f"{location!r} is shorter than its weights. Get it again")
        return np.memmap(path, np.uint8, "r", offset, (length,)).data if length else _EMPTY


_EMPTY = memoryview(b"")


def _text(data: memoryview) -> str:
    return bytes(data[:1000]).decode("utf-8", "backslashreplace")


def _array(name: str, kind: int, dims: list[int], parts: list[memoryview], integers: list[int]) -> np.ndarray:
    if len(dims) > MAX_AXES or any(not 0 <= size < 2**40 for size in dims):
        raise ValueError(f"{name} has an impossible shape")
    if kind not in _TYPES and kind != _BFLOAT16:
        return np.empty(0, np.uint8)  # strings and the like: no weights
    if integers:
        array = _from_integers(kind, integers)
    else:
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        array = np.frombuffer(data, _TYPES.get(kind, "<u2"))
    if len(array) != math.prod(dims):
        raise ValueError(f"{name} has {len(array)} values for the shape {dims}")
    if kind == _BFLOAT16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(dims)


def _from_integers(kind: int, integers: list[int]) -> np.ndarray:
    if kind in (10, _BFLOAT16):
        bits = np.array([value & 0xFFFF for value in integers], np.uint16)
        return bits.view(np.float16) if kind == 10 else bits
    return np.array(integers, np.int64).astype(_TYPES[kind])
