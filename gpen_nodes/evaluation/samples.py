"""Faces to restore, and images that were restored, under the names by which they belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol as Interface

from torch import Tensor

from ..degradation import degrade
from ..errors import ImageError, OptionError
from ..facesets import FaceSet, generator_of
from ..image_files import find_image_files, read_image_file
from ..images import from_uint8, resize, to_uint8
from .protocols import Protocol

__all__ = ["DegradedFaces", "PictureFolder", "Sample", "Samples", "TruePictures", "as_saved"]


@dataclass(frozen=True)
class Sample:
    """One image at one level.

    Attributes:
        name: by which results of other systems are found.
        level: of degradation; empty where there is one alone.
        degraded: what a system is given, [1, H, W, 3] in [0, 1]; None where only results are compared.
        truth: of the same size; None where nobody knows it.
        scale: by which ``degraded`` was made smaller and enlarged again.
    """

    name: str
    level: str
    degraded: Tensor | None
    truth: Tensor | None
    scale: float = 1

    @cached_property
    def planes(self) -> Tensor | None:
        """``truth`` as measures take it, [1, 3, H, W]; one tensor, so that they can reuse results."""
        return None if self.truth is None else self.truth.permute(0, 3, 1, 2)


class Samples(Interface):
    """What is to be restored and compared."""

    @property
    def levels(self) -> tuple[str, ...]: ...

    @property
    def names(self) -> Sequence[str]: ...

    def sample(self, level: str, index: int) -> Sample: ...


def as_saved(image: Tensor) -> Tensor:
    """Rounded to 8 bits, so that figures are those of the images that are written."""
    return from_uint8(to_uint8(image)).reshape(image.shape)


class PictureFolder:
    """The images of a folder and its subfolders, by their path without suffix.

    Raises:
        ImageError: there are none.
        OptionError: two have one name.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder, self.paths = Path(folder), {}
        for path in find_image_files(folder):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if self.paths.setdefault(name, path) != path:
                raise OptionError(f"{self.paths[name]} and {path} have one name. Remove one of them.")
        self.names = list(self.paths)

    def read(self, name: str) -> Tensor:
        """[1, H, W, 3] in [0, 1].

        Raises:
            ImageError: no such image, or a damaged one.
        """
        if name not in self.paths:
            raise ImageError(f"{self.folder} holds no picture named {name}.")
        return read_image_file(self.paths[name]).image


class DegradedFaces:
    """Faces degraded as a protocol says, or real ones without a truth as they are."""

    def __init__(self, faces: FaceSet | Sequence[Tensor], names: Sequence[str], protocol: Protocol) -> None:
        self.faces, self.names, self.protocol = faces, names, protocol
        self.levels = tuple(protocol.levels)

    def sample(self, level: str, index: int) -> Sample:
        size, recipe = self.protocol.size, self.protocol.levels[level]
        face = as_saved(resize(self.faces[index].unsqueeze(0), size, size))
        if recipe is None:
            return Sample(self.names[index], level, face, None)
        generator = generator_of(self.names[index], self.protocol.seed)
        degraded, (drawn,) = degrade(face, recipe, generator, enlarge=self.protocol.enlarge)
        return Sample(self.names[index], level, as_saved(degraded), face, drawn.scale)


class TruePictures:
    """Nothing to restore: true images, if known, for results that are there already."""

    levels = ("",)

    def __init__(self, names: Sequence[str], truth: PictureFolder | None) -> None:
        self.names, self.truth = names, truth

    def sample(self, level: str, index: int) -> Sample:
        name = self.names[index]
        return Sample(name, level, None, None if self.truth is None else as_saved(self.truth.read(name)))
