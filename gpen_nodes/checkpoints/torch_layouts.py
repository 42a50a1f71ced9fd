"""The two layouts that ``torch.save`` writes: flat, as released, and the documented bundle."""

from __future__ import annotations

import argparse
import io
from typing import Any

import torch

from ..errors import OptionError
from ..model import GpenConfig
from ..model.encoders import ENCODERS
from ..model.names import to_released_names
from .checkpoint import Checkpoint
from .convert import convert

__all__ = ["write_bundle", "write_flat"]


def write_flat(checkpoint: Checkpoint, dtype: torch.dtype | None, legacy: bool) -> bytes:
    """The released names and filters, so that GPEN's own network loads it strictly.

    Raises:
        OptionError: a network that the released names cannot hold, or numbers too large for ``dtype``.
    """
    config = checkpoint.config
    if isinstance(config, GpenConfig) and not ENCODERS[config.encoder].released:
        raise OptionError(
            "A flat file holds the released networks, whose encoder is convolutional; this one's is a "
            f"{ENCODERS[config.encoder].label}. Choose the layout bundle or safetensors."
        )
    # torch's own default protocol: others read it, and torch.load(weights_only=True) knows nothing above.
    return _serialise(to_released_names(convert(checkpoint.state, dtype)), protocol=2, legacy=legacy)


def write_bundle(checkpoint: Checkpoint, dtype: torch.dtype | None, legacy: bool) -> bytes:
    """The documented keys encoder, mapper, generator and args, in the documented protocol.

    Raises:
        OptionError: a discriminator, or numbers too large for ``dtype``.
    """
    config = checkpoint.config
    if not isinstance(config, GpenConfig):
        raise OptionError("A bundle holds a whole GPEN; this is a discriminator. Choose flat or safetensors.")
    args = {
        "version": f"GPEN-BFR-v2.0-{config.size}",
        **checkpoint.lasting_args,
        "input_resolution": config.input_size,
        "output_resolution": config.size,
        "narrow": config.narrow,
        "channel_multiplier": config.multiplier,
    }
    parts: dict[str, Any] = {"encoder": {}, "mapper": {}, "generator": {}}
    for name, tensor in convert(checkpoint.state, dtype).items():
        part, rest = name.split(".", 1)
        parts[part][rest] = tensor
    return _serialise({**parts, "args": argparse.Namespace(**args)}, protocol=4, legacy=legacy)


def _serialise(contents: dict[str, Any], protocol: int, legacy: bool) -> bytes:
    # In memory: torch's own zip writer may crash the process when the disk is full.
    stream = io.BytesIO()
    torch.save(contents, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()
