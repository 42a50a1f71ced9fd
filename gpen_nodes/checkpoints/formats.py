"""The formats of weight files: one entry each. A new one is a file with these functions and an entry here."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from ..errors import CheckpointError
from .checkpoint import Checkpoint, Layout
from .onnx import is_onnx, read_onnx
from .safetensors_file import is_safetensors, read_safetensors, write_safetensors
from .torch_files import is_torch_file, read_torch_file
from .torch_layouts import write_bundle, write_flat

__all__ = ["FORMATS", "Format", "Writer", "find_format", "find_writer"]

Writer = Callable[[Checkpoint, torch.dtype | None, bool], bytes]
"""A file's bytes, from weights, a floating point type (None: as they are) and whether in legacy form."""


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        name: the layout that its weights have unless they lie in a bundle.
        suffixes: by which a file to write chooses it, in lower case.
        matches: whether a file is of this kind, by its first 512 bytes.
        read: a regular file to its dictionaries of tensors, nested as they are, and its metadata.
        write: each layout that it can be written in.
    """

    name: Layout
    suffixes: tuple[str, ...]
    matches: Callable[[bytes], bool]
    read: Callable[[Path], tuple[Any, dict[str, Any]]]
    write: Mapping[Layout, Writer] = MappingProxyType({})


FORMATS = (
    Format(
        "safetensors", (".safetensors",), is_safetensors, read_safetensors, {"safetensors": write_safetensors}
    ),
    Format(
        "flat", (".pth", ".pt"), is_torch_file, read_torch_file, {"flat": write_flat, "bundle": write_bundle}
    ),
    Format("onnx", (".onnx",), is_onnx, read_onnx),
)


def find_writer(layout: str) -> Writer | None:
    """What writes a layout, or None for one that is only read or not known."""
    return next((format.write[layout] for format in FORMATS if layout in format.write), None)  # type: ignore[index]  # any text


def find_format(path: Path) -> Format:
    """The format of a file, by its first bytes.

    Raises:
        CheckpointError: no regular file, or none of ours; says what it is instead.
    """
    head = _head(path)
    for format in FORMATS:
        if format.matches(head):
            return format
    what = _name_foreign_file(head)
    raise CheckpointError(f"{path} {what} Expected .pth, .safetensors or .onnx weights of GPEN.")


def _head(path: Path) -> bytes:
    try:
        # A pipe would wait for ever, and a device has no end.
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise CheckpointError(f"{path} is a folder; expected a file of weights.")
        if not stat.S_ISREG(mode):
            raise CheckpointError(f"{path} is no regular file but a pipe, socket or device. Name another.")
        with path.open("rb") as stream:
            return stream.read(512)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist. Check the path, or download the weights.") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path} cannot be read: {reason}. Check its name and permissions.") from error


def _name_foreign_file(head: bytes) -> str:
    if not head:
        return "is empty: its download broke off. Get it again."
    if head.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the weights. Run git lfs pull."
    if head.lstrip().startswith(b"<"):
        return "is a web page: the download gave an error or a login. Open the address in a browser."
    if head.startswith(b"\x1f\x8b"):
        return "is a compressed archive. Unpack it."
    if head[257:262] == b"ustar":
        return "is a tar archive. Unpack it, or save weights of torch before 0.1.10 again."
    return f"is no file of weights (it starts with {head[:8]!r})."
