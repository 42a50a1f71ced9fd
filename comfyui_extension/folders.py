"""The host's folders of models: which there are, and which files of theirs are ours."""
# pyright: reportMissingImports=false

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import folder_paths

import gpen_nodes
from gpen_nodes import (
    CHECKPOINT_SUFFIXES,
    OptionError,
    find_weights,
    is_checkpoint_name,
    shipped_model,
)

__all__ = ["SHIPPED", "detector_weights", "find_file", "find_model", "model_names", "register_folders"]

FOLDERS = ("gpen", "facerestore_models")  # keys of the host: ours, and the one that older packs share
DETECTORS = "facedetection"  # where packs with facexlib keep its RetinaFaces
SHIPPED = "gpen-lite-256.safetensors"


def register_folders() -> None:
    """Make ``models/gpen``, and make it and the folders that other packs use known, where there are such.

    A user's ``extra_model_paths.yaml`` may have named folders of the same keys: they stay.
    """
    known = folder_paths.folder_names_and_paths
    with suppress(OSError):  # a folder that can't be written to may still be read
        os.makedirs(os.path.join(folder_paths.models_dir, "gpen"), exist_ok=True)
    for key in (*FOLDERS, DETECTORS):
        folder = os.path.join(folder_paths.models_dir, key)
        if key == "gpen" or os.path.isdir(folder):
            folder_paths.add_model_folder_path(key, folder)
        if key in known and not known[key][1]:  # which would list every file
            known[key] = (known[key][0], set(CHECKPOINT_SUFFIXES))


def model_names() -> list[str]:
    """The shipped model, then what lies in the host's folders."""
    found = [name for key in _known(FOLDERS) for name in folder_paths.get_filename_list(key)]
    return list(dict.fromkeys([SHIPPED, *filter(is_checkpoint_name, found)]))


def find_file(name: str) -> Path:
    """A file of the host's folders, or one that ``gpen-nodes models get`` has put into torch's.

    Raises:
        MissingWeightsError: it is in none of them; names the command that gets it.
        CheckpointError: it is in torch's folder, and another file than its name says.
    """
    known = _known(FOLDERS)
    for key in known:
        path = folder_paths.get_full_path(key, name)
        if path is not None:
            return Path(path)
    return find_weights(name, [folder for key in known for folder in folder_paths.get_folder_paths(key)])


def find_model(name: Any) -> Path:
    """The file of one of ``model_names``.

    Raises:
        OptionError: no text.
        MissingWeightsError, CheckpointError: as ``find_file``.
    """
    if not isinstance(name, str):
        raise OptionError(f"model_name is {name!r}; expected the name of a file, such as {SHIPPED}.")
    return shipped_model() if name == SHIPPED else find_file(name)


def detector_weights(detector: str) -> Path | None:
    """A detector's file in ``models/facedetection``; None leaves it to where facexlib keeps its own."""
    folders = [folder for key in _known((DETECTORS,)) for folder in folder_paths.get_folder_paths(key)]
    return gpen_nodes.detector_weights(detector, folders)


def _known(keys: tuple[str, ...]) -> list[str]:
    return [key for key in keys if key in folder_paths.folder_names_and_paths]
