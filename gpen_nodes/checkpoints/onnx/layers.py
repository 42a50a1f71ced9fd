"""Single layers of an export: a weight, and the scales, bias and activation that follow it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...model import Gpen
from .parse import Node
from .trace import MappingError, Trace

__all__ = ["GAIN", "Affine", "affine", "convolution_weight", "injection", "linear_weight", "scaled"]

GAIN = math.sqrt(2)
SLOPE = 0.2


@dataclass
class Affine:
    """``gain · activation(scale · x + bias)``, and the name of the value that it is."""

    value: str
    scale: float = 1.0
    bias: Any = 0.0
    gain: float = 1.0
    activated: bool = False


def affine(trace: Trace, value: str, bias: np.ndarray | None = None) -> Affine:
    """Follow a value through scalar factors, biases and the leaky ReLU, as far as they go.

    Args:
        value: name of the value to begin with.
        bias: what its node adds already.
    """
    found = Affine(value, bias=0.0 if bias is None else _flat(bias))
    while node := trace.next_node(found.value):
        if not _step(trace, node, found):
            break
        found.value = node.outputs[0]
    return found


def _step(trace: Trace, node: Node, found: Affine) -> bool:
    """Take one node into ``found``; whether it could be taken."""
    if trace.passes(node):
        return True
    if node.op == "LeakyRelu" and not found.activated:
        if abs(node.attributes.get("alpha", 0.01) - SLOPE) > 1e-2:
            raise MappingError(f"a leaky ReLU of slope {node.attributes.get('alpha')}")
        found.activated = True
        return True
    other = _other(trace, node, found.value)
    if other is None:
        return False
    if node.op in ("Mul", "Div") and other.size == 1:
        factor = float(other.ravel()[0])
        if node.op == "Div":
            if node.inputs[0] != found.value or not factor:
                return False
            factor = 1 / factor
        if found.activated:
            found.gain *= factor
        else:
            found.scale, found.bias = found.scale * factor, found.bias * factor
        return True
    if node.op == "Add" and not found.activated and other.size == max(other.shape, default=1):
        found.bias = found.bias + _flat(other)
        return True
    return False


def _other(trace: Trace, node: Node, value: str) -> np.ndarray | None:
    """The constant that a node of two inputs combines a value with."""
    if len(node.inputs) != 2 or node.op not in ("Add", "Mul", "Div"):
        return None
    return trace.constant(node, 1 if node.inputs[0] == value else 0)


def _flat(array: np.ndarray) -> np.ndarray:
    return array.ravel().astype(np.float64)


def linear_weight(trace: Trace, node: Node) -> tuple[np.ndarray, np.ndarray | None]:
    """[out, in] and the bias of a Gemm or MatMul."""
    weight = trace.constants[node.inputs[1]]
    if weight.ndim != 2:
        raise MappingError(f"a matrix product with a constant of shape {list(weight.shape)}")
    if node.op == "MatMul":
        return weight.T, None
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    if node.attributes.get("transA"):
        raise MappingError("a transposed input")
    bias = trace.constant(node, 2)
    weight = weight if node.attributes.get("transB") else weight.T
    return weight * np.float32(alpha), None if bias is None else bias * np.float32(beta)


def convolution_weight(trace: Trace, conv: Node) -> np.ndarray:
    """A modulated convolution's weight [out, in, k, k], whether the style scales the weight or the input."""
    weight = trace.constant(conv, 1)
    if weight is not None:
        return weight.swapaxes(0, 1) if conv.op == "ConvTranspose" else weight
    # Upwards from the weight: the constant of five axes that the style is multiplied with.
    queue, seen = [conv.inputs[1]], set()
    while queue:
        name = queue.pop()
        constant = trace.constants.get(name)
        if constant is not None and constant.ndim == 5 and constant.shape[0] == 1 and constant.shape[2] > 1:
            return constant[0]
        node = trace.maker.get(name)
        if node is not None and node not in trace.linears and name not in seen:
            seen.add(name)
            queue += [each for each in node.inputs if each]
    raise MappingError("a convolution whose weight is no constant times a style")


def scaled(trace: Trace, value: str) -> str:
    """The value after factors that depend on the face, such as a style's largest entry."""
    while (node := trace.next_node(value)) and (
        trace.passes(node) or (node.op == "Mul" and _other(trace, node, value) is None)
    ):
        value = node.outputs[0]
    return value


def injection(trace: Trace, value: str) -> tuple[str, float, bool]:
    """Where the encoder's features come in after a convolution.

    Returns:
        Name of the value after it, the features' gain, and whether they are concatenated (or else added).
    """
    for _ in range(100):
        node = trace.next_node(value)
        if node is None:
            break
        others = [name for name in node.inputs if name != value and _is_map(trace, name)]
        if node.op == "Concat" and others and node.attributes.get("axis") in (1, -3):
            return node.outputs[0], _gain(trace, others[0]), True
        if node.op == "Add" and others:
            return node.outputs[0], _gain(trace, others[0]), False
        value = node.outputs[0]
    raise MappingError("a convolution that no features of the encoder follow")


def _is_map(trace: Trace, name: str) -> bool:
    """Whether a value may be features: what depends on the picture, or noise."""
    array = trace.constants.get(name)
    return array is None or (array.ndim == 4 and array.shape[2] > 1)


def _gain(trace: Trace, value: str) -> float:
    name, node = trace.origin(value)
    if name in trace.constants:
        return _noise_gain(trace.constants[name])
    if node is not None and node.op == "Mul":
        for index in (0, 1):
            constant = trace.constant(node, index)
            if constant is not None and constant.size == 1:
                return float(constant.ravel()[0])
    return 1.0  # optimizers remove a factor of one


def _noise_gain(array: np.ndarray) -> float:
    """By what our network's noise was multiplied, where the output is larger than the input."""
    if array.ndim != 4 or array.shape[2] != array.shape[3]:
        raise MappingError("constants in the place of features")
    noise = Gpen.noise(array.shape[1], array.shape[2], like=torch.empty(1)).numpy()
    gain = float(np.vdot(noise, array[:1].astype(np.float32)) / np.vdot(noise, noise))
    if np.abs(array - gain * noise).max() > 1e-2 * abs(gain):
        raise MappingError("noise that is not this package's")
    return gain
