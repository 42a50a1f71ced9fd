"""Folds constants: computes what a graph computes from constants alone.

With it an export looks the same whether its constants were folded or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .parse import Graph, Node

__all__ = ["fold_constants"]

_CASTS = {
    1: np.float32,
    10: np.float16,
    11: np.float64,
    7: np.int64,
    6: np.int32,
    9: np.bool_,
    16: np.float32,
}


def fold_constants(graph: Graph) -> Graph:
    """The graph without nodes whose inputs are all constants; an operation that isn't known here stays.

    Raises:
        ValueError: the constants would take far more than the file's own.
    """
    constants = dict(graph.constants)
    left = 8 * sum(array.size for array in constants.values()) + 2**20
    nodes = []
    for node in graph.nodes:
        if node.op == "CastLike" and node.inputs[:1] and node.inputs[0] in constants:
            node = replace(node, op="Identity", inputs=node.inputs[:1])  # types make no difference here
        fold = _FOLDS.get(node.op)
        if fold is None or len(node.outputs) != 1 or any(n and n not in constants for n in node.inputs):
            nodes.append(node)
            continue
        inputs = [constants[name] for name in node.inputs if name]
        try:
            left -= _size(node, inputs)  # before numpy takes the memory for it
            if left < 0:
                raise MemoryError
            with np.errstate(all="ignore"):
                constants[node.outputs[0]] = np.asarray(fold(node, *inputs))
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError):
            nodes.append(node)
        except MemoryError:
            raise ValueError("its constants would take far more memory than the file") from None
    return replace(graph, nodes=nodes, constants=constants)


def _size(node: Node, inputs: list[np.ndarray]) -> int:
    """Elements that the result has at most."""
    if node.op in _BROADCAST:
        return math.prod(np.broadcast_shapes(*(array.shape for array in inputs)))
    if node.op == "Expand":
        return math.prod(np.broadcast_shapes(inputs[0].shape, _integers(inputs[1])))
    if node.op == "ConstantOfShape":
        return math.prod(_integers(inputs[0]))
    if node.op == "Gather":
        return inputs[0].size * inputs[1].size
    return 0 if node.op in _VIEWS else sum(array.size for array in inputs)


def _integers(array: np.ndarray) -> tuple[int, ...]:
    if array.size > 16 or array.dtype.kind != "i" or (array < -1).any():
        raise ValueError("no shape")
    return tuple(int(size) for size in array.ravel())


def _constant(node: Node) -> Any:
    (value,) = (value for name, value in node.attributes.items() if name.startswith("value"))
    if value is None or isinstance(value, bytes):
        raise ValueError("no number")
    return np.float32(value) if isinstance(value, float) else np.asarray(value)


def _constant_of_shape(node: Node, shape: np.ndarray) -> Any:
    return np.full(_integers(shape), node.attributes.get("value", np.zeros(1, np.float32)).ravel()[0])


def _reshape(_node: Node, array: np.ndarray, shape: np.ndarray) -> Any:
    sizes = _integers(shape)
    return array.reshape([array.shape[k] if size == 0 else size for k, size in enumerate(sizes)])


def _flatten(node: Node, array: np.ndarray) -> Any:
    axis = node.attributes.get("axis", 1)
    return array.reshape(math.prod(array.shape[:axis]), -1)


def _unsqueeze(node: Node, array: np.ndarray, axes: np.ndarray | None = None) -> Any:
    return np.expand_dims(array, _axes(node, axes))


def _squeeze(node: Node, array: np.ndarray, axes: np.ndarray | None = None) -> Any:
    return np.squeeze(array, _axes(node, axes) or None)


def _axes(node: Node, axes: np.ndarray | None) -> tuple[int, ...]:
    """An attribute up to opset 12, an input since."""
    return tuple(node.attributes.get("axes", ())) if axes is None else _numbers(axes)


def _numbers(array: np.ndarray) -> tuple[int, ...]:
    return tuple(int(number) for number in array.ravel()[:16])


def _slice(_node: Node, array: np.ndarray, *inputs: np.ndarray) -> Any:
    starts, ends, *rest = map(_numbers, inputs)
    axes = rest[0] if rest else tuple(range(len(starts)))
    steps = rest[1] if len(rest) > 1 else (1,) * len(starts)
    cut: list[slice] = [slice(None)] * array.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        cut[axis] = slice(start, None if step < 0 and end < -(2**30) else end, step)
    return array[tuple(cut)]


def _shape(node: Node, array: np.ndarray) -> Any:
    start, end = node.attributes.get("start", 0), node.attributes.get("end", array.ndim)
    return np.array(array.shape[start:end], np.int64)


def _pow(_node: Node, base: np.ndarray, exponent: np.ndarray) -> Any:
    return base ** exponent.astype(base.dtype)


_FOLDS: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b,
    "Div": lambda _, a, b: a / b if a.dtype.kind == "f" else a // b,
    "Pow": _pow,
    "Neg": lambda _, a: -a,
    "Sqrt": lambda _, a: np.sqrt(a),
    "Reciprocal": lambda _, a: 1 / a,
    "Identity": lambda _, a: a,
    "Cast": lambda node, a: a.astype(_CASTS[node.attributes["to"]]),
    "Reshape": _reshape,
    "Transpose": lambda node, a: a.transpose(node.attributes.get("perm", range(a.ndim)[::-1])),
    "Flatten": _flatten,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Slice": _slice,
    "Shape": _shape,
    "Gather": lambda node, a, index: np.take(a, index, node.attributes.get("axis", 0)),
    "Concat": lambda node, *arrays: np.concatenate(arrays, node.attributes["axis"]),
    "Expand": lambda _, a, shape: a * np.ones(_integers(shape), a.dtype),
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
}
_BROADCAST = {"Add", "Sub", "Mul", "Div", "Pow"}
_VIEWS = {"Identity", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Shape"}
