"""Where the model lies that ships with the pack."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from .errors import MissingWeightsError

__all__ = ["shipped_model"]

NAME = "gpen-lite-256.safetensors"


def shipped_model() -> Path:
    """Path of the small model that ships with the pack: in a clone beside the package, else where pip put it.

    Raises:
        MissingWeightsError: it has been removed, or Git left it out.
    """
    folders = (
        Path(__file__).parents[1] / "weights",
        Path(sysconfig.get_path("data")) / "share" / "gpen-nodes" / "weights",
    )
    for folder in folders:
        if (folder / NAME).is_file():
            return folder / NAME
    raise MissingWeightsError(
        f"The model that ships with the pack, {NAME}, is neither in {folders[0]} nor in {folders[1]}. "
        "Clone or install the pack again, or name another model."
    )
