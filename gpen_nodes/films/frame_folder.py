"""A folder of pictures as the frames of a film, in the order of their names."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..atomic import replacing
from ..errors import ImageError
from ..image_files import WRITABLE_SUFFIXES, is_image_file_name, read_image_file, write_image_file
from .film import Change, Frame

__all__ = ["FrameFolder"]


class FrameFolder:
    """Pictures of one size.

    Args:
        path: of the folder, whose subfolders are no part of it.
        rate: frames in a second.
    """

    def __init__(self, path: Path, rate: float = 25) -> None:
        self.path, self.notes = path, ()
        self._rate = rate
        self._files = sorted(
            (file for file in path.iterdir() if is_image_file_name(file.name) and file.is_file()), key=_key
        )
        if not self._files:
            raise ImageError(f"{path} holds no picture that could be a frame of a film.")
        self.length: int | None = len(self._files)

    def frames(self) -> Iterator[Frame]:
        for number, path in enumerate(self._files):
            file = read_image_file(path)
            image = file.image if file.image.shape[-1] == 3 else file.image.expand(-1, -1, -1, 3)
            yield Frame(image, number / self._rate, (path, file))

    def rewrite(self, target: Path, change: Change) -> None:
        """Each picture becomes a file of its name in the folder ``target``; those that are there stay."""
        target.mkdir(parents=True, exist_ok=True)
        for frame, image in change(self.frames()):
            path, file = frame.source
            same = path.suffix.lower() in WRITABLE_SUFFIXES
            place = target / (path.name if same else f"{path.stem}.png")
            if image is None and same:
                with replacing(place) as temporary:
                    shutil.copyfile(path, temporary)
            else:
                write_image_file(place, frame.image if image is None else image, like=file, overwrite=True)


def _key(path: Path) -> list[tuple[int, str]]:
    """frame2 comes before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
