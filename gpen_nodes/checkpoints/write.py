"""A `Checkpoint` to a file: flat, bundle or safetensors."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ..atomic import remedy, replacing
from ..errors import CheckpointError, OptionError
from ..model import GpenConfig
from ..model.names import to_released_names
from .checkpoint import UNKNOWN, Checkpoint, Layout

__all__ = ["default_layout", "write_checkpoint"]


def default_layout(path: str | os.PathLike[str], checkpoint: Checkpoint) -> Layout:
    """Safetensors by suffix; else flat, or bundle for the ResNet-50 encoder that flat files cannot hold."""
    if Path(path).suffix.lower() == ".safetensors":
        return "safetensors"
    return "bundle" if _has_resnet(checkpoint) else "flat"


def write_checkpoint(
    checkpoint: Checkpoint,
    path: str | os.PathLike[str],
    layout: Layout | None = None,
    dtype: torch.dtype | None = None,
    legacy: bool = False,
) -> None:
    """Write weights whole or not at all; nothing of the optimizer or of a training run's state goes along.

    Args:
        layout: ``flat`` has the released names and filters, so that GPEN's own network loads it strictly;
            ``bundle`` has the documented keys encoder, mapper, generator and args; ``safetensors`` has the
            config, version and licence in its metadata. None: see `default_layout`.
        dtype: floating point type to store, or None for that of ``checkpoint``.
        legacy: for flat and bundle, the one-file serialisation that torch wrote before 1.6.

    Raises:
        OptionError: a layout that cannot hold this network, or numbers too large for ``dtype``.
        CheckpointError: the file cannot be written.
    """
    layout = layout or default_layout(path, checkpoint)
    if layout == "safetensors":
        if legacy:
            raise OptionError("safetensors has no legacy serialisation. Leave one of the two out.")
        data = safetensors.torch.save(_convert(checkpoint.state, dtype), _metadata(checkpoint))
    else:
        parts = _flat(checkpoint, dtype) if layout == "flat" else _bundle(checkpoint, dtype)
        # Protocol 4 as documented for the bundle. A flat file keeps to torch's own default, since it is read
        # by others, and torch.load(weights_only=True) knows nothing above.
        data = _serialise(parts, protocol=4 if layout == "bundle" else 2, legacy=legacy)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {remedy(error)}") from error


def _has_resnet(checkpoint: Checkpoint) -> bool:
    return isinstance(checkpoint.config, GpenConfig) and checkpoint.config.encoder == "resnet50"


def _convert(state: dict[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Each tensor in storage of its own, so that a view doesn't bring along all that it is a view of."""
    converted = {}
    for name, tensor in state.items():
        copy = tensor.detach().to("cpu", dtype, copy=True).contiguous()
        if dtype is not None and not torch.isfinite(copy).all():
            raise OptionError(f"{name} holds numbers that {dtype} cannot; choose a wider type.")
        converted[name] = copy
    return converted


def _flat(checkpoint: Checkpoint, dtype: torch.dtype | None) -> dict[str, Any]:
    if _has_resnet(checkpoint):
        raise OptionError(
            "A flat file holds the released networks, whose encoder is convolutional; this one's is a "
            "ResNet-50. Choose the layout bundle or safetensors."
        )
    return to_released_names(_convert(checkpoint.state, dtype))


def _bundle(checkpoint: Checkpoint, dtype: torch.dtype | None) -> dict[str, Any]:
    config = checkpoint.config
    if not isinstance(config, GpenConfig):
        raise OptionError("A bundle holds a whole GPEN; this is a discriminator. Choose flat or safetensors.")
    args = {
        "version": f"GPEN-{config.size}",
        **checkpoint.args,
        "input_resolution": config.input_size,
        "output_resolution": config.size,
        "narrow": config.narrow,
        "channel_multiplier": config.multiplier,
    }
    parts: dict[str, Any] = {"encoder": {}, "mapper": {}, "generator": {}}
    for name, tensor in _convert(checkpoint.state, dtype).items():
        part, rest = name.split(".", 1)
        parts[part][rest] = tensor
    return {**parts, "args": argparse.Namespace(**args)}


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    metadata = {
        "format": "pt",  # what other readers take for "tensors of PyTorch"
        "config": json.dumps(dataclasses.asdict(checkpoint.config)),
        "args": json.dumps(checkpoint.args),
    }
    known = {"version": checkpoint.version, "license": checkpoint.licence}
    return metadata | {name: value for name, value in known.items() if value != UNKNOWN}


def _serialise(contents: dict[str, Any], protocol: int, legacy: bool) -> bytes:
    # In memory: torch's own zip writer may crash the process when the disk is full.
    stream = io.BytesIO()
    torch.save(contents, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()
