"""GPEN as an ONNX graph, written by hand in protobuf's wire format, so that no exporter is needed.

The graph computes what the papers say, in the two ways in which exporters leave it: the style scales the
weights, and all scales are folded into constants; or the style scales the input, and constants are left to be
computed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from torch import Tensor

TYPES = {np.dtype(np.float32): 1, np.dtype(np.float16): 10, np.dtype(np.int64): 7}


def varint(value: int) -> bytes:
    value %= 2**64
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name: str, array: np.ndarray, outside: dict[str, str] | None = None) -> bytes:
    data = b"".join(field(1, size) for size in array.shape) + field(2, TYPES[array.dtype]) + field(8, name)
    if outside is None:
        return data + field(9, array.tobytes())
    return data + b"".join(field(13, field(1, k) + field(2, v)) for k, v in outside.items()) + field(14, 1)


def node(op: str, inputs: Iterable[str], output: str, **attributes: object) -> bytes:
    data = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, op)
    for name, value in attributes.items():
        if isinstance(value, float):
            content = varint(2 << 3 | 5) + struct.pack("<f", value)
        elif isinstance(value, int):
            content = field(3, value)
        else:
            content = b"".join(field(8, number) for number in value)  # type: ignore[attr-defined]
        data += field(5, field(1, name) + content)
    return data


class Writer:
    """Collects nodes and constants; names are numbers, which tell nothing."""

    def __init__(self, dtype: type = np.float32) -> None:
        self.nodes: list[bytes] = []
        self.tensors: list[bytes] = []
        self.dtype, self._count = dtype, 0

    def const(self, array: Tensor | np.ndarray | np.floating | float) -> str:
        array = np.asarray(array)
        self._count += 1
        kind = np.int64 if array.dtype.kind == "i" else self.dtype
        self.tensors.append(tensor(f"c{self._count}", np.ascontiguousarray(array, kind).reshape(array.shape)))
        return f"c{self._count}"

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        self._count += 1
        self.nodes.append(node(op, inputs, f"v{self._count}", **attributes))
        return f"v{self._count}"

    def model(self, output: str) -> bytes:
        graph = b"".join(field(1, each) for each in self.nodes) + b"".join(field(5, t) for t in self.tensors)
        graph += field(11, field(1, "input")) + field(12, field(1, output))
        return field(1, 8) + field(7, graph) + field(8, field(2, 17))


class Exported:
    """Writes a model with the convolutional encoder; ``folded`` as described above."""

    def __init__(self, state: dict[str, Tensor], folded: bool, dtype: type = np.float32) -> None:
        self.state, self.folded, self.to = state, folded, Writer(dtype)

    def write(self, path: Path) -> None:
        features, x = [], "input"
        for k in range(1 + max(int(n.split(".")[2]) for n in self.state if n.startswith("encoder.stages."))):
            if k:
                x = self.blur(x)
            weight = self.scaled(f"encoder.stages.{k}.weight")
            x = self.to.add("Conv", x, weight, strides=[1 + (k > 0)] * 2, kernel_shape=[3, 3])
            x = self.activate(x, f"encoder.stages.{k}.bias", 4)
            features.append(x)
        style = self.linear(self.to.add("Flatten", x, axis=1), "encoder.to_style", 1.0, activated=True)
        square = self.to.add("ReduceMean", self.to.add("Mul", style, style), axes=[1])
        style = self.to.add("Div", style, self.to.add("Sqrt", square))
        for k in range(1, 1 + max(int(n.split(".")[1]) for n in self.state if n.startswith("mapper."))):
            style = self.linear(style, f"mapper.{k}", 0.01, activated=True)
        output = self.generator(style, features[::-1])
        path.write_bytes(self.to.model(output))

    def generator(self, style: str, features: list[str]) -> str:
        x = self.to.const(self.state["generator.input.input"])
        x = self.styled(x, style, features[0], "generator.conv1", up=False)
        rgb = self.rgb(x, style, "generator.to_rgb1")
        for k, feature in enumerate(features[1:]):
            x = self.styled(x, style, feature, f"generator.convs.{2 * k}", up=True)
            x = self.styled(x, style, feature, f"generator.convs.{2 * k + 1}", up=False)
            rgb = self.to.add("Add", self.rgb(x, style, f"generator.to_rgbs.{k}"), self.blur(rgb))
        return rgb

    def scaled(self, name: str, rate: float = 1.0) -> str:
        """A weight times the equalised scale: as a constant, or as a product of constants."""
        weight = self.state[name].numpy()
        scale = rate / math.sqrt(math.prod(weight.shape[2:] if weight.ndim == 5 else weight.shape[1:]))
        if self.folded:
            return self.to.const(weight * np.float32(scale))
        return self.to.add("Mul", self.to.const(weight), self.to.const(np.float32(scale)))

    def linear(self, x: str, name: str, rate: float, activated: bool) -> str:
        weight, bias = self.scaled(f"{name}.weight", rate), self.state[f"{name}.bias"] * rate
        if activated or not self.folded:
            x = self.to.add("MatMul", x, self.to.add("Transpose", weight, perm=[1, 0]))
            if activated:
                self.state["bias"] = bias
                return self.activate(x, "bias", 2)
            return self.to.add("Add", x, self.to.const(bias))
        return self.to.add("Gemm", x, weight, self.to.const(bias), transB=1)

    def activate(self, x: str, name: str, axes: int) -> str:
        bias = self.state[name].numpy().reshape([1, -1, 1, 1][:axes])
        gain = self.to.const(np.float32(math.sqrt(2)))
        if self.folded:
            x = self.to.add("LeakyRelu", self.to.add("Add", x, self.to.const(bias)), alpha=0.2)
            return self.to.add("Mul", gain, x)
        x = self.to.add("Add", self.to.add("Mul", x, gain), self.to.add("Mul", self.to.const(bias), gain))
        return self.to.add("LeakyRelu", x, alpha=0.2)

    def modulated(self, x: str, style: str, name: str, up: bool) -> str:
        style = self.linear(style, f"{name}.conv.modulation", 1.0, activated=False)
        weight = self.scaled(f"{name}.conv.weight")
        op, is_rgb = "ConvTranspose" if up else "Conv", name.startswith("generator.to_rgb")
        _, out, inside, size, _ = self.state[f"{name}.conv.weight"].shape
        if self.folded:
            weight = self.to.add("Mul", weight, self.reshape(style, 1, 1, inside, 1, 1))
            if not is_rgb:
                energy = self.to.add("ReduceSum", self.to.add("Mul", weight, weight), axes=[2, 3, 4])
                weight = self.to.add(
                    "Div", weight, self.reshape(self.to.add("Sqrt", energy), 1, out, 1, 1, 1)
                )
            weight = self.reshape(weight, out, inside, size, size)
            weight = self.to.add("Transpose", weight, perm=[1, 0, 2, 3]) if up else weight
            return self.to.add(op, x, weight, strides=[2, 2])
        weight = self.reshape(weight, out, inside, size, size)
        weight = self.to.add("Transpose", weight, perm=[1, 0, 2, 3]) if up else weight
        x = self.to.add("Mul", x, self.to.add("Unsqueeze", style, axes=[2, 3]))
        x = self.to.add(op, x, weight, strides=[2, 2])
        if is_rgb:
            return x
        energies = self.to.const(np.ones((inside, out)))  # a matrix that is no layer
        power = self.to.add("MatMul", self.to.add("Mul", style, style), energies)
        return self.to.add("Mul", x, self.to.add("Reciprocal", self.to.add("Sqrt", power)))

    def styled(self, x: str, style: str, feature: str, name: str, up: bool) -> str:
        x = self.modulated(x, style, name, up)
        x = self.blur(x) if up else x
        feature = self.to.add("Mul", self.to.const(self.state[f"{name}.noise.weight"]), feature)
        both = self.state[f"{name}.activate.bias"].shape[0] > self.state[f"{name}.conv.weight"].shape[1]
        x = self.to.add("Concat", x, feature, axis=1) if both else self.to.add("Add", x, feature)
        return self.activate(x, f"{name}.activate.bias", 4)

    def rgb(self, x: str, style: str, name: str) -> str:
        x = self.modulated(x, style, name, up=False)
        return self.to.add("Add", x, self.to.const(self.state[f"{name}.bias"]))

    def blur(self, x: str) -> str:
        taps = np.array([1, 3, 3, 1], np.float32) / 8
        return self.to.add("Conv", x, self.to.const(np.outer(taps, taps)[None, None]), group=1)

    def reshape(self, x: str, *shape: int) -> str:
        return self.to.add("Reshape", x, self.to.const(np.array(shape)))
