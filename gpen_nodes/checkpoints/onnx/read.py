"""An ONNX file to the tensors of the GPEN that was exported."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...errors import CheckpointError
from .program import ProgramError, as_program

if TYPE_CHECKING:
    from .parse import Graph

__all__ = ["is_onnx", "read_onnx"]

# What parts that are missing or of another kind raise on the way.
_DAMAGED = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError, struct.error)


def is_onnx(head: bytes) -> bool:
    """Whether a file starts as a ModelProto does: with its ir_version, a small number."""
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 0x20


def read_onnx(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors in float32 under the names of this package's modules, and no metadata.

    Raises:
        CheckpointError: the file is damaged, or keeps its weights outside its folder.
        ProgramError: it restores faces, but its graph cannot be mapped back to a GPEN.
        ArchitectureError: it is no GPEN.
    """
    from .constants import fold_constants  # These load with the first ONNX file, not with the package.
    from .parse import parse

    try:
        graph = fold_constants(parse(np.memmap(path, np.uint8, "r").data, path.parent))
        if not graph.nodes:
            raise ValueError("it has no graph")
        return _weights(graph, path), {}
    except _DAMAGED as error:
        raise CheckpointError(f"{path} is damaged or no ONNX file: {error}. Get the file again.") from error


def _weights(graph: Graph, path: Path) -> dict[str, Tensor]:
    from .mapping import MappingError, map_weights

    try:
        with np.errstate(all="ignore"):  # what isn't finite is found later
            weights = map_weights(graph)
    except MappingError as error:
        program = as_program(graph, path)
        raise ProgramError(
            f"{path} is an ONNX program that cannot be turned back into a GPEN's weights: it has {error}. "
            "onnxruntime can run it; for anything else get the checkpoint (.pth) that it was made of.",
            program,
        ) from error
    # Copies: what is a view of the file would change or crash when the file is replaced.
    return {name: torch.from_numpy(np.array(array, np.float32)) for name, array in weights.items()}
