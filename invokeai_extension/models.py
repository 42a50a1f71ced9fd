"""Which models there are: the shipped one, then what lies in ``gpen`` in the host's folder of models."""
# pyright: reportMissingImports=false

from __future__ import annotations

from pathlib import Path

from invokeai.app.services.config.config_default import get_config

from gpen_nodes import find_checkpoints, find_weights, shipped_model

__all__ = ["SHIPPED", "find_model", "model_folder", "model_names"]

SHIPPED = "gpen-lite-256.safetensors"


def model_folder() -> Path:
    """``models/gpen``, which need not be there."""
    return Path(get_config().models_path) / "gpen"


def model_names() -> list[str]:
    """The shipped model first; no file of its name takes its place."""
    return list(dict.fromkeys([SHIPPED, *find_checkpoints([model_folder()])]))


def find_model(name: str) -> Path:
    """The file of one of ``model_names``, or one that ``gpen-nodes models get`` has put into torch's folder.

    Raises:
        MissingWeightsError: there is none of that name; says what to do.
        CheckpointError: it is in torch's folder, and another file than its name says.
    """
    if name == SHIPPED:
        return shipped_model()
    return find_checkpoints([model_folder()]).get(name) or find_weights(name, [model_folder()])
