"""ONNX graphs that restore faces and cannot be turned back into weights: another engine can run them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ArchitectureError
from ...model import GpenConfig
from ..tasks import find_task

if TYPE_CHECKING:
    from .parse import Graph

__all__ = ["OnnxProgram", "ProgramError", "as_program"]

_BRANCHES = {"If", "Loop", "Scan"}  # GPEN has none, and what is in them was not looked at


@dataclass(frozen=True)
class OnnxProgram:
    """A graph of aligned faces to restored ones.

    Attributes:
        path: the file.
        config: its sides; the widths are a guess, for memory.
    """

    path: Path
    config: GpenConfig

    @property
    def task(self) -> str:
        """As ``Checkpoint.task``, by the file's name alone."""
        return find_task({}, self.path)


class ProgramError(ArchitectureError):
    """A file of weights was wanted, and this is a program, which can only be run."""

    def __init__(self, message: str, program: OnnxProgram) -> None:
        super().__init__(message)
        self.program = program


def as_program(graph: Graph, path: Path) -> OnnxProgram:
    """The program that a graph is, by its declared shapes.

    Raises:
        ArchitectureError: it does not take one square RGB picture to another of a size that GPEN has.
    """
    inputs = [name for name in graph.inputs if name not in graph.constants]
    taken, given = [[graph.shapes.get(name, []) for name in names] for names in (inputs, graph.outputs)]
    sides = [side for shapes in (taken, given) if (side := _side(shapes))]
    branches = {node.op for node in graph.nodes} & _BRANCHES
    if len(sides) == 2 and not branches:
        try:
            return OnnxProgram(path, GpenConfig(size=sides[1], input_size=sides[0]))
        except ArchitectureError:
            pass  # sides that no GPEN has
    found = "a graph with branches" if branches else f"a graph from {_said(taken)} to {_said(given)}"
    raise ArchitectureError(
        f"{path} is an ONNX file, but no GPEN: found {found}; expected 1×3×S×S to 1×3×S×S with S from 64 to "
        "2048. Choose another file."
    )


def _side(shapes: list[list[int]]) -> int:
    """Of the one square RGB picture that there is, or 0."""
    if len(shapes) != 1 or len(shapes[0]) != 4:
        return 0
    batch, channels, height, width = shapes[0]
    return width if batch in (0, 1) and channels == 3 and height == width else 0


def _said(shapes: list[list[int]]) -> str:
    return (
        " and ".join("×".join(str(size or "?") for size in shape) or "?" for shape in shapes[:4]) or "nothing"
    )
