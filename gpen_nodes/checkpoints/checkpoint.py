"""Weights, what network they are of, and where they come from."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import printable
from ..model import DiscriminatorConfig, GpenConfig
from ..model.encoders import ENCODERS
from ..weight_files import sha256
from .tasks import find_task

__all__ = ["UNKNOWN", "Checkpoint", "Layout", "describe"]

Layout = Literal["flat", "bundle", "safetensors", "onnx"]
UNKNOWN = "unknown"

# GPEN's README said so until 2026-03; nothing replaced it and its repository carries no licence file.
_RELEASED_VERSION = re.compile(r"GPEN-BFR-\d")  # not the documents' v2.0, which whoever trains it owns
_RELEASED_LICENCE = "non-commercial, as its authors stated; no licence file"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The contents of a weight file, whatever its layout was.

    Attributes:
        state: tensors on the CPU under the names of this package's modules.
        config: the network that their shapes describe.
        args: what else the file says, such as training parameters: plain values by name.
        layout: of the file; what was wrapped in another dictionary counts as flat.
        path: the file, or None for weights that were never in one.
    """

    state: dict[str, Tensor]
    config: GpenConfig | DiscriminatorConfig
    args: dict[str, Any] = field(default_factory=dict)
    layout: Layout = "flat"
    path: Path | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of most numbers."""
        counts: Counter[torch.dtype] = Counter()
        for tensor in self.state.values():
            counts[tensor.dtype] += tensor.numel()
        return counts.most_common(1)[0][0]

    @property
    def parameter_count(self) -> int:
        return sum(tensor.numel() for tensor in self.state.values())

    @property
    def version(self) -> str:
        """Such as ``GPEN-BFR-v2.0-2048``, or ``unknown``."""
        return str(self.args.get("version", UNKNOWN))

    @property
    def task(self) -> str:
        """What it was trained to do, one of ``TASKS``: what the file says, or else its name."""
        return find_task(self.args, self.path)

    @property
    def lasting_args(self) -> dict[str, Any]:
        """``args`` for another file: with the task that only this one's name may tell."""
        return self.args if self.task == "restore" else {**self.args, "task": self.task}

    @property
    def licence(self) -> str:
        """What the file says, or what its version is known for, or ``unknown``."""
        if "license" in self.args:
            return str(self.args["license"])
        return _RELEASED_LICENCE if _RELEASED_VERSION.match(self.version) else UNKNOWN

    def sha256(self) -> str | None:
        """Of the whole file, in hexadecimal; None without a file. Reads it anew each time."""
        return None if self.path is None else sha256(self.path)


_DOES = {
    "restore": "restores aligned faces",
    "colorize": "colours gray faces",
    "inpaint": "fills missing parts of faces",
    "seg2face": "makes faces of maps of their parts",
}


def describe(checkpoint: Checkpoint) -> dict[str, str]:
    """Facts about a weight file for people: label to text, in the order to show them.

    Whatever the file says is shown as ``printable`` shows it.
    """
    config = checkpoint.config
    facts = {"file": str(checkpoint.path)} if checkpoint.path else {}
    facts["layout"] = checkpoint.layout
    if isinstance(config, GpenConfig):
        encoder = ENCODERS[config.encoder].label
        features = "concatenated" if config.concat else "added"
        facts["kind"] = f"GPEN, {_DOES[checkpoint.task]}"
        facts["size"] = f"{config.input_size} px in, {config.size} px out"
        facts["encoder"] = f"{encoder}, features {features}"
        facts["mapper"] = f"{config.mapping_depth} layers, style of {config.style_dim}"
    else:
        facts["kind"] = "GPEN discriminator, for training"
        facts["size"] = f"{config.size} px"
    facts["widths"] = ", ".join(f"{width} at {size}" for size, width in config.widths.items())
    facts["narrow"] = f"{config.narrow:g}, channel multiplier {config.multiplier:g}"
    megabytes = sum(tensor.numel() * tensor.element_size() for tensor in checkpoint.state.values()) / 1e6
    facts["parameters"] = f"{checkpoint.parameter_count:,} ({megabytes:.1f} MB)"
    facts["dtype"] = str(checkpoint.dtype).removeprefix("torch.")
    facts["version"] = checkpoint.version
    facts["licence"] = checkpoint.licence
    if digest := checkpoint.sha256():
        facts["sha256"] = digest
    told = {name: value for name, value in checkpoint.args.items() if name not in ("version", "license")}
    facts |= {f"args.{name}": str(value) for name, value in told.items()}
    return {printable(label, 60): printable(fact.replace("\n", " "), 1000) for label, fact in facts.items()}
