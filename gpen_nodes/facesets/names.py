"""What a face is called, who it shows as far as its name says, and a random generator of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import PurePath

import torch

__all__ = ["generator_of", "number_names", "person_of"]


def number_names(sources: Iterable[str]) -> list[str]:
    """Photos' names without suffix; further faces of one photo are numbered: ``a/b``, ``a/b_2``."""
    seen: dict[str, int] = {}
    names = []
    for source in sources:
        name = PurePath(str(source)).with_suffix("").as_posix()
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names


def person_of(source: str) -> str:
    """Who a photo shows, by its file's name, whatever its folder and suffix.

    The name up to its first ``_`` if that part has a digit, so that ``001_smiling.jpg`` is a photo of
    ``001``; else the whole name, since ``IMG_2034.jpg`` says nothing of who it shows.
    """
    stem = PurePath(str(source)).stem
    first = stem.partition("_")[0]
    return first if any(letter.isdigit() for letter in first) else stem


def generator_of(name: str, seed: int) -> torch.Generator:
    """A random generator for one face: it does not depend on other faces, on their order or folder."""
    digest = hashlib.sha256(f"{seed} {PurePath(name).name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
