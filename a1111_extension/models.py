"""Which models there are: the shipped one, then what lies in the host's folders."""
# pyright: reportMissingImports=false

from __future__ import annotations

from pathlib import Path

from modules import paths, shared

from gpen_nodes import WEIGHT_FILES, MissingWeightsError, find_checkpoints, find_weights, shipped_model

__all__ = ["SHIPPED", "find_model", "model_files", "model_folders"]

SHIPPED = "gpen-lite-256.safetensors"


def model_folders() -> list[Path]:
    """``models/GPEN``, and what ``--gpen-models-path`` names."""
    named = getattr(shared.cmd_opts, "gpen_models_path", None)
    return [Path(paths.models_path) / "GPEN", *([Path(named)] if named else [])]


def model_files() -> dict[str, Path | None]:
    """Names as the page shows them, and the files; None for the shipped one, which need not be there."""
    shipped = {SHIPPED: None}  # first, and no file of that name takes its place
    return {**shipped, **find_checkpoints(model_folders()), **shipped}


def find_model(name: str) -> Path:
    """The file of one of ``model_files``.

    Raises:
        MissingWeightsError: there is none of that name; names the command that gets it.
    """
    files = model_files()
    if name in files:
        return files[name] or shipped_model()
    try:
        return find_weights(name, model_folders())  # where `gpen-nodes models get` puts it
    except MissingWeightsError as error:
        known = (
            f"`gpen-nodes models get {name} --to models/GPEN` gets it"
            if name in WEIGHT_FILES
            else "put it there"
        )
        # No path of the server: answers go to whoever asks.
        raise MissingWeightsError(
            f"Found no model {name!r} in models/GPEN; {known}: docs/checkpoints.md says where weights come "
            f"from. Known are {', '.join(files)}."
        ) from error
