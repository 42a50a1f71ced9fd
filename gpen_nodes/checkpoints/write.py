"""A `Checkpoint` to a file: flat, bundle or safetensors."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ..atomic import remedy, replacing
from ..errors import CheckpointError, OptionError
from ..model import GpenConfig
from ..model.encoders import ENCODERS
from .checkpoint import Checkpoint, Layout
from .formats import find_writer

__all__ = ["default_layout", "write_checkpoint"]


def default_layout(path: str | os.PathLike[str], checkpoint: Checkpoint) -> Layout:
    """Safetensors by suffix; else flat, or bundle for an encoder that flat files cannot hold."""
    if Path(path).suffix.lower() == ".safetensors":
        return "safetensors"
    config = checkpoint.config
    return "flat" if not isinstance(config, GpenConfig) or ENCODERS[config.encoder].released else "bundle"


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
    write = find_writer(layout)
    if write is None:
        raise OptionError(f"Weights are not written as {layout}. Choose flat, bundle or safetensors.")
    data = write(checkpoint, dtype, legacy)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {remedy(error)}") from error
