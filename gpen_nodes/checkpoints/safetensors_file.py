"""Safetensors: our names, config, arguments, version and licence in its metadata."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError, OptionError
from .checkpoint import UNKNOWN, Checkpoint
from .convert import convert
from .plain import plain_values

__all__ = ["is_safetensors", "read_safetensors", "write_safetensors"]

MAX_HEADER = 2**23
"""Bytes of the JSON at the start; that of GPEN-2048 has 30 kB."""


def is_safetensors(head: bytes) -> bool:
    """Whether a file starts as safetensors: the header's length, then its JSON."""
    return head[8:9] == b"{"


def read_safetensors(path: Path) -> tuple[dict, dict[str, Any]]:
    """Tensors by name on the CPU, and what the metadata says.

    Raises:
        CheckpointError: the file is damaged, or its header longer than any of weights.
    """
    from safetensors import SafetensorError, safe_open  # with the first file, not when a host starts

    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
        if length > min(MAX_HEADER, path.stat().st_size):
            raise CheckpointError(f"{path} is damaged: its header would take {length:,} bytes. Get it again.")
        with safe_open(str(path), framework="pt", device="cpu") as file:
            # Copies: a tensor that is mapped to the file would change or crash when the file is replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  # no dictionary
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is damaged: {error}. Its download may have broken off: get it again."
        ) from error
    return tensors, _metadata_args(metadata, path)


def _metadata_args(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Ours are in one JSON string; of others' metadata the two entries that we know are taken."""
    try:
        args = json.loads(metadata.get("args", "{}"))
    except (ValueError, RecursionError):
        args = {}
    known = {name: metadata[name] for name in ("version", "license") if name in metadata}
    return plain_values({**(args if isinstance(args, dict) else {}), **known}, path)


def write_safetensors(checkpoint: Checkpoint, dtype: torch.dtype | None, legacy: bool) -> bytes:
    """The weights as a file's bytes.

    Raises:
        OptionError: ``legacy``, which this format does not have, or numbers too large for ``dtype``.
    """
    from safetensors.torch import save

    if legacy:
        raise OptionError("safetensors has no legacy serialisation. Leave one of the two out.")
    return save(convert(checkpoint.state, dtype), _metadata(checkpoint))


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    metadata = {
        "format": "pt",  # what other readers take for "tensors of PyTorch"
        "config": json.dumps(dataclasses.asdict(checkpoint.config)),
        "args": json.dumps(checkpoint.lasting_args),
    }
    known = {"version": checkpoint.version, "license": checkpoint.licence}
    return metadata | {name: value for name, value in known.items() if value != UNKNOWN}
