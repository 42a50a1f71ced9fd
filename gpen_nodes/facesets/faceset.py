"""What training and evaluation take faces from, and where it may lie."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

from ..errors import ImageError
from .files import FolderFaces, ShardFaces, ZipFaces
from .store import PIXELS, FaceStore

__all__ = ["FaceSet", "open_faces"]


class FaceSet(Protocol):
    """Aligned faces by number, and what is known of each.

    ``sources`` are the photos that they are from, ``persons`` names of whom they show, and ``true_sizes``
    how many pixels of the photo the side of each covers, NaN where nobody has measured it.
    """

    @property
    def sources(self) -> Sequence[str] | np.ndarray: ...

    @property
    def persons(self) -> Sequence[str]: ...

    @property
    def true_sizes(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Tensor:
        """One face, [S, S, 3] in [0, 1]; ImageError if it can't be read."""
        ...


def open_faces(place: str | Path) -> FaceSet:
    """Aligned faces wherever they lie.

    Args:
        place: a folder that ``prepare`` has written, a folder of images, a zip file, a tar file, a folder
            of tar files, or a pattern of tar files such as ``shards/*.tar``.

    Raises:
        ImageError: there are none; says what was looked for.
    """
    path = Path(place)
    if path.is_dir():
        if (path / PIXELS).exists():
            return FaceStore(path)
        shards = sorted(path.glob("*.tar"))
        return ShardFaces(str(place), shards) if shards else FolderFaces(path)
    if path.suffix.lower() == ".zip" and path.is_file():
        return ZipFaces(path)
    if shards := [Path(name) for name in sorted(glob.glob(str(place)))]:
        return ShardFaces(str(place), shards)
    raise ImageError(
        f"No aligned faces at {place}: expected a folder, a zip file, or tar files. Make faces from a folder "
        "of photos with gpen-nodes prepare."
    )
