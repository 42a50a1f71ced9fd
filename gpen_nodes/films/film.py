"""What every kind of film has in common: frames in, frames out, in the order of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

__all__ = ["ANIMATION_SUFFIXES", "VIDEO_SUFFIXES", "Change", "Film", "Frame"]

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts"),
    *(".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv", ".mxf"),
)
"""What the name of a film with sound may end in, in any case."""
ANIMATION_SUFFIXES = (".gif", ".webp", ".png", ".apng")
"""What the name of an animated picture may end in, in any case."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a film.

    Attributes:
        image: [1, H, W, 3] RGB in [0, 1], upright.
        time: when it is shown, in seconds.
        source: what the film that it came from needs to write it again.
    """

    image: Tensor
    time: float
    source: Any = field(default=None, repr=False)


Change = Callable[[Iterable[Frame]], Iterator[tuple[Frame, "Tensor | None"]]]
"""Gives each frame with its new image, [1, H, W, 3] upright, or None where it stays as it is. It may read a
few frames ahead."""


class Film(Protocol):
    """A film on a disk. It is read from its beginning as often as it is asked for its frames."""

    path: Path

    @property
    def length(self) -> int | None:
        """About how many frames it has; None where nobody knows before the end."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was missing or damaged, a sentence each; whole once all frames were read."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Frames in the order of time; memory does not grow with their number.

        Raises:
            ImageError: it cannot be read.
        """
        ...

    def rewrite(self, target: Path, change: Change) -> None:
        """Write it again with its frames changed, and all else as it is. The target is whole or absent.

        Raises:
            ImageError: it cannot be read, or not written as ``target`` is called.
            OSError: the file system's own.
        """
        ...
