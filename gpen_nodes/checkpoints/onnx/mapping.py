"""The graph of an exported GPEN back to its weights.

Names and the shape of the graph depend on the exporter, its version, and the optimizers that came after it.
Which value depends on which does not, and that tells the layers apart. The encoder's convolutions depend on
the image and on no linear layer. Of the linear layers the n-th of the chain depends on those before it;
those that make styles are many and depend on the whole chain. The first convolution that depends on a style
is the one that it modulates. Exporters multiply weights with the equalised-learning-rate scale
(``model.layers``): it is divided out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain as chain_of

import numpy as np

from .layers import GAIN, Affine, affine, convolution_weight, injection, linear_weight, scaled
from .parse import Graph, Node
from .trace import MappingError, Trace

__all__ = ["map_weights"]

MAPPER_RATE = 0.01  # the mapper's learning-rate multiplier

Weights = Iterator[tuple[str, np.ndarray]]


def map_weights(graph: Graph) -> dict[str, np.ndarray]:
    """Arrays under the names of this package's modules.

    Args:
        graph: with its constants folded.

    Raises:
        MappingError: these are not a GPEN's layers with the convolutional encoder.
        ValueError: the nodes are not in an order in which they can run.
    """
    trace = Trace(graph)
    chain, styles = _linear_layers(trace)
    weights = {}
    left = sum(array.size for array in graph.constants.values()) + 2**20
    for name, array in chain_of(_encoder(trace), _linears(trace, chain), _generator(trace, styles)):
        weights[name] = array
        left -= array.size  # one constant in many layers would become as many copies
        if left < 0:
            raise ValueError("its layers would take more than the file holds")
    return weights


def _linear_layers(trace: Trace) -> tuple[list[Node], list[Node]]:
    """The encoder's last layer and the mapper's, in order; and those that make the styles."""
    by_depth: dict[int, list[Node]] = {}
    for node in trace.linears:
        by_depth.setdefault(trace.linears_before(node), []).append(node)
    chain = []
    for depth in range(len(by_depth)):
        layers = by_depth.get(depth, [])
        if len(layers) != 1:
            return chain, layers
        chain += layers
    raise MappingError("linear layers without styles")


def _encoder(trace: Trace) -> Weights:
    before = [conv for conv in trace.convs if not trace.linears_before(conv)]
    stages = [conv for conv in before if _is_dense(trace, conv)]
    for stage, conv in enumerate(stages):
        weight = trace.constants[conv.inputs[1]]
        after = affine(trace, conv.outputs[0], trace.constant(conv, 2))
        yield f"encoder.stages.{stage}.weight", _unscaled(weight, after.scale * _gain(after))
        yield f"encoder.stages.{stage}.bias", _bias(after.bias * _gain(after), weight.shape[0])


def _is_dense(trace: Trace, conv: Node) -> bool:
    """Whether it is a layer, and no low-pass filter, whose kernel is four wide."""
    weight = trace.constant(conv, 1)
    is_layer = weight is not None and weight.ndim == 4 and weight.shape[-1] in (1, 3)
    return is_layer and conv.attributes.get("group", 1) == 1


def _linears(trace: Trace, chain: list[Node]) -> Weights:
    for place, node in enumerate(chain):
        weight, bias = linear_weight(trace, node)
        after = affine(trace, node.outputs[0], bias)
        rate = MAPPER_RATE if place else 1.0
        name = f"mapper.{place}" if place else "encoder.to_style"
        yield f"{name}.weight", _unscaled(weight, after.scale * _gain(after) / rate)
        yield f"{name}.bias", _bias(after.bias * (_gain(after) / rate), len(weight))


def _generator(trace: Trace, styles: list[Node]) -> Weights:
    modulated = sorted(((_modulated(trace, style), style) for style in styles), key=lambda pair: pair[0])
    names = ["conv1", *(f"convs.{k}" for k in range(len(styles)))]
    rgb_names = ["to_rgb1", *(f"to_rgbs.{k}" for k in range(len(styles)))]
    for place, (index, style) in enumerate(modulated):
        conv = trace.convs[index]
        weight = convolution_weight(trace, conv)
        if place == 0:
            yield "generator.input.input", _constant_input(trace, conv, weight.shape[1])
        is_rgb = weight.shape[0] == 3 and weight.shape[-1] == 1
        name = f"generator.{(rgb_names if is_rgb else names).pop(0)}"
        yield f"{name}.conv.weight", _unscaled(weight)[None]
        yield from _modulation(trace, style, f"{name}.conv.modulation")
        if is_rgb:
            after = affine(trace, scaled(trace, conv.outputs[0]), trace.constant(conv, 2))
            yield f"{name}.bias", _bias(after.bias, 3).reshape(1, 3, 1, 1)
            continue
        value, gain, is_concat = injection(trace, conv.outputs[0])
        after = affine(trace, value)
        # Its gain stands before or behind it, or is a part of all that leads to it.
        behind = after.scale * after.gain
        if not after.activated or min(abs(behind / GAIN - 1), abs(behind - 1)) > 1e-2:
            raise MappingError("a convolution without GPEN's activation")
        yield f"{name}.noise.weight", np.array([gain * behind / GAIN])
        yield f"{name}.activate.bias", _bias(after.bias * _gain(after), weight.shape[0] * (1 + is_concat))


def _modulated(trace: Trace, style: Node) -> int:
    """Place among the convolutions of the one that a style modulates: the first that depends on it."""
    for index, conv in enumerate(trace.convs):
        if trace.depends_on(conv, style):
            return index
    raise MappingError("a style that no convolution uses")


def _modulation(trace: Trace, style: Node, name: str) -> Weights:
    weight, bias = linear_weight(trace, style)
    after = affine(trace, style.outputs[0], bias)
    if after.activated or after.scale != 1:
        raise MappingError("a style with an activation")
    yield f"{name}.weight", _unscaled(weight)
    yield f"{name}.bias", _bias(after.bias, len(weight))


def _constant_input(trace: Trace, conv: Node, channels: int) -> np.ndarray:
    """What the first convolution begins with, [1, channels, 4, 4], before it is repeated for a batch."""
    name = conv.inputs[0]
    while (array := trace.constants.get(name)) is None:
        node = trace.maker.get(name)
        if node is None:
            break
        constants = [each for each in node.inputs if each in trace.constants]
        sizes = [trace.constants[each].size for each in constants]
        name = constants[sizes.index(channels * 16)] if channels * 16 in sizes else node.inputs[0]
    if array is None or array.size != channels * 16:
        raise MappingError("a first convolution without a constant input")
    return array.reshape(1, channels, 4, 4)


def _unscaled(weight: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Without the equalised-learning-rate scale, times ``factor``, in float32."""
    return weight.astype(np.float32) * np.float32(factor * math.sqrt(math.prod(weight.shape[1:])))


def _gain(after: Affine) -> float:
    """What stands beyond the activation's own gain; an activation that is absent is an error."""
    if not after.activated:
        raise MappingError("a layer without its activation")
    return after.gain / GAIN


def _bias(bias: np.ndarray | float, length: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(bias, np.float64), (length,)).copy()
