"""A graph's values: who makes and who uses them, and what they depend on."""

from __future__ import annotations

import numpy as np

from .parse import Graph, Node

__all__ = ["MappingError", "Trace"]

MAX_LAYERS = 200
# What carries a value on as it is.
_SHAPES = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Tile"}


class MappingError(ValueError):
    """The graph is not of GPEN's layers, or an optimizer changed them beyond recognition."""


class Trace:
    """Answers questions on a graph whose constants are folded.

    Attributes:
        linears: Gemm and MatMul with a constant, in the order of the graph.
        convs: Conv and ConvTranspose, likewise.

    Raises:
        ValueError: the nodes are not in an order in which they can run.
        MappingError: there are far more layers than GPEN has.
    """

    def __init__(self, graph: Graph) -> None:
        self.constants = graph.constants
        self.maker: dict[str, Node] = {}
        self.users: dict[str, list[Node]] = {}
        self.linears: list[Node] = []
        self.convs: list[Node] = []
        self._bits: dict[Node, int] = {}
        # Bit k of a value's mask: the k-th linear layer is among its ancestors.
        self._masks: dict[str, int] = dict.fromkeys(graph.inputs, 0)
        for node in _live(graph):
            self._add(node)

    def _add(self, node: Node) -> None:
        linear = 0
        for name in filter(None, node.inputs):
            if name not in self.constants and name not in self._masks:
                raise ValueError(f"its node {node.op} uses {name!r} before it is made")
            linear |= self._masks.get(name, 0)
            self.users.setdefault(name, []).append(node)
        if node.op in ("Gemm", "MatMul") and len(node.inputs) > 1 and self.constant(node, 1) is not None:
            linear |= 1 << len(self.linears)
            self._bits[node] = len(self.linears)
            self.linears.append(node)
        elif node.op in ("Conv", "ConvTranspose") and len(node.inputs) > 1:
            self.convs.append(node)
        if len(self.linears) > MAX_LAYERS or len(self.convs) > MAX_LAYERS:
            raise MappingError(f"more than {MAX_LAYERS} layers")
        for name in filter(None, node.outputs):
            self.maker[name] = node
            self._masks[name] = linear

    def constant(self, node: Node, index: int) -> np.ndarray | None:
        """A node's input, where it is a constant."""
        return self.constants.get(node.inputs[index]) if index < len(node.inputs) else None

    def linears_before(self, node: Node) -> int:
        """How many linear layers a node's first input depends on."""
        return self._masks.get(node.inputs[0], 0).bit_count()

    def depends_on(self, node: Node, linear: Node) -> bool:
        """Whether any of a node's inputs depends on that linear layer."""
        bit = self._bits[linear]
        return any(self._masks.get(name, 0) >> bit & 1 for name in node.inputs)

    def next_node(self, name: str) -> Node | None:
        """The one node that computes with a value; None where there are several or none."""
        users = [node for node in self.users.get(name, []) if node.op != "Shape"]
        return users[0] if len(users) == 1 else None

    def origin(self, name: str) -> tuple[str, Node | None]:
        """A value before reshapes and casts, and the node that makes it."""
        node = self.maker.get(name)
        while node is not None and node.op in _SHAPES:
            name = node.inputs[0]
            node = self.maker.get(name)
        return name, node

    def passes(self, node: Node) -> bool:
        """Whether a node carries its value on as it is."""
        return node.op in _SHAPES


def _live(graph: Graph) -> list[Node]:
    """The nodes on which the outputs depend: exporters leave others behind."""
    needed, live = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            live.append(node)
    return live[::-1]
