"""Aligned faces as image files: in a folder, a zip file, or the tar files that WebDataset calls shards.

All of them are read at random, by number: a run shares its faces among processes without a duplicate and
goes on where it was, whatever they lie in. Names and places are kept in arrays and not in lists of objects,
whose reference counts would make every forked worker copy them page by page.
"""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import ImageError
from ..image_files import READABLE_SUFFIXES, decode_image_file, is_image_file_name
from .names import person_of
from .store import PIXELS

__all__ = ["FolderFaces", "ShardFaces", "ZipFaces"]


class FaceFiles(ABC):
    """Aligned faces by number; ``sources`` are their files' names, each a photo of its own."""

    def __init__(self, place: str, names: Sequence[str]) -> None:
        if not names:
            raise ImageError(
                f"No aligned faces in {place}: found neither {PIXELS} nor tar files nor pictures "
                f"({', '.join(READABLE_SUFFIXES)}). Make them of a folder of photos with gpen-nodes prepare."
            )
        self.place, self.sources = place, np.array(names)

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def persons(self) -> list[str]:
        """By their files' names; see ``person_of``."""
        return [person_of(source) for source in self.sources]

    @property
    def true_sizes(self) -> np.ndarray:
        """NaN: files don't say it."""
        return np.full(len(self), np.nan)

    def __getitem__(self, index: int) -> Tensor:
        """One face, [S, S, 3] in [0, 1].

        Raises:
            ImageError: the file is damaged, or no square.
        """
        name = f"{self.sources[index]} in {self.place}"
        try:
            data = self._bytes(index)
        except Exception as error:  # zlib raises nearly anything on damaged files
            raise ImageError(f"{name} is damaged or cannot be read: {error}.") from error
        image_file = decode_image_file(io.BytesIO(data), name)
        if image_file.damage:
            raise ImageError(
                f"{name} is damaged or cannot be read: {'; '.join(image_file.damage)}. Get it again."
            )
        face = image_file.image[0]
        height, width, _ = face.shape
        if height != width:
            raise ImageError(
                f"{name} is {width}×{height} px; expected a square, such as gpen-nodes prepare makes."
            )
        return face

    @abstractmethod
    def _bytes(self, index: int) -> bytes:
        """Of one file."""


class FolderFaces(FaceFiles):
    """Every image file below a folder."""

    def __init__(self, folder: Path) -> None:
        paths = (p.relative_to(folder) for p in folder.rglob("*") if is_image_file_name(p.name))
        super().__init__(str(folder), sorted(map(str, paths)))

    def _bytes(self, index: int) -> bytes:
        return Path(self.place, str(self.sources[index])).read_bytes()


class ZipFaces(FaceFiles):
    """Every image file in a zip file."""

    def __init__(self, path: Path) -> None:
        self._open: tuple[int, zipfile.ZipFile] | None = None
        self.place = str(path)
        super().__init__(self.place, sorted(filter(is_image_file_name, self._zip().namelist())))

    def _bytes(self, index: int) -> bytes:
        return self._zip().read(str(self.sources[index]))

    def _zip(self) -> zipfile.ZipFile:
        """The file, opened by this process: after a fork both would move one shared position in it."""
        if self._open is None or self._open[0] != os.getpid():
            try:
                self._open = os.getpid(), zipfile.ZipFile(self.place)
            except zipfile.BadZipFile as error:
                raise ImageError(f"{self.place} is no zip file or a damaged one. Get it again.") from error
        return self._open[1]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_open": None}


class ShardFaces(FaceFiles):
    """Every image file in uncompressed tar files, read from its place there."""

    def __init__(self, place: str, shards: Sequence[Path]) -> None:
        self.shards, names, spans = list(map(str, shards)), [], []
        for number, shard in enumerate(shards):
            try:
                with tarfile.open(shard, "r:") as file:  # compressed ones can't be read at random
                    members = [m for m in file if m.isfile() and is_image_file_name(m.name)]
            except tarfile.TarError as error:
                raise ImageError(
                    f"{shard} is no tar file, a damaged or a compressed one: {error}. Get it again, or "
                    "decompress it."
                ) from error
            names += [f"{shard.name}/{m.name}" for m in members]
            spans += [(number, m.offset_data, m.size) for m in members]
        super().__init__(place, names)
        self.spans = np.array(spans, np.int64)

    def _bytes(self, index: int) -> bytes:
        shard, offset, size = self.spans[index].tolist()
        with Path(self.shards[shard]).open("rb") as file:
            file.seek(offset)
            return file.read(size)
