"""Which models there are: the shipped one, then what lies in the host's folders."""
# pyright: reportMissingImports=false

from __future__ import annotations

from pathlib import Path

from modules import paths, shared

from gpen_nodes import MissingWeightsError, shipped_model

__all__ = ["SHIPPED", "find_model", "model_files", "model_folders"]

SHIPPED = "gpen-lite-256.safetensors"
SUFFIXES = {".pth", ".pt", ".safetensors"}


def model_folders() -> list[Path]:
    """``models/GPEN``, and what ``--gpen-models-path`` names."""
    named = getattr(shared.cmd_opts, "gpen_models_path", None)
    return [Path(paths.models_path) / "GPEN", *([Path(named)] if named else [])]


def model_files() -> dict[str, Path | None]:
    """Names as the page shows them, and the files; None for the shipped one, which need not be there."""
    files: dict[str, Path | None] = {SHIPPED: None}
    for folder in model_folders():
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                files.setdefault(path.relative_to(folder).as_posix(), path)
    return files


def find_model(name: str) -> Path:
    """The file of one of ``model_files``.

    Raises:
        MissingWeightsError: there is none of that name.
    """
    files = model_files()
    if name not in files:
        folders = " and ".join(map(str, model_folders()))
        raise MissingWeightsError(
            f"Found no model {name!r} in {folders}; put it there: docs/checkpoints.md says where weights "
            f"come from. Known are {', '.join(files)}."
        )
    return files[name] or shipped_model()
