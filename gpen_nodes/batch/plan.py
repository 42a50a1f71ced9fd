"""Which picture becomes which files."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ..errors import ImageError, OptionError
from ..image_files import READABLE_SUFFIXES, WRITABLE_SUFFIXES

__all__ = ["Job", "Shard", "names_file", "plan_jobs"]


@dataclass(frozen=True)
class Job:
    """One picture and what it becomes.

    Attributes:
        source: the picture.
        output: the file that it becomes.
        name: its path below the folder that was named, with ``/``: the same on every machine.
        named: the user named ``output`` itself, so it may replace a file.
        compare: the picture before and after, side by side; None without.
        faces: folder and start of the names of its faces' files; None without.
    """

    source: Path
    output: Path
    name: str
    named: bool = False
    compare: Path | None = None
    faces: Path | None = None

    def face_file(self, number: int | None, when: str) -> Path:
        """Where a face goes; ``when`` is aligned or restored, a number None where the picture is one face."""
        assert self.faces is not None
        middle = "" if number is None else f"_face{number:02d}"
        return self.faces.with_name(f"{self.faces.name}{middle}_{when}.png")

    def files(self) -> Iterator[Path]:
        """What it becomes, its faces apart, whose number is known only once they are found."""
        yield self.output
        if self.compare:
            yield self.compare

    def below(self, folder: Path) -> Job:
        """The same with relative paths taken from a folder."""
        return replace(
            self,
            source=folder / self.source,
            output=folder / self.output,
            compare=self.compare and folder / self.compare,
            faces=self.faces and folder / self.faces,
        )

    def check_names(self) -> None:
        """Make sure that file systems take the names, before any work is done.

        Raises:
            ImageError: one is longer than 255 bytes.
        """
        faces = [self.face_file(0, "restored")] if self.faces else []
        for path in (*self.files(), *faces):
            length = len(os.fsencode(path.name))
            if length > 255:
                raise ImageError(
                    f"{path.name} is too long for a file's name: {length} bytes of at most 255. Rename the "
                    "picture, or name a shorter --output."
                )


def plan_jobs(
    found: Iterable[tuple[Path, Path]],
    output: str | None,
    *,
    suffix: str,
    compare: bool = False,
    faces: str | None = None,
) -> list[Job]:
    """Decide where each picture's result goes.

    Args:
        found: pictures with their paths below the folders that were named.
        output: a file name with a picture's suffix for one picture, or a folder, which then mirrors the input
            folders; None writes beside each picture, with ``suffix`` added to its name.
        suffix: such as ``_restored``.
        compare: whether a comparison is written beside each output.
        faces: folder for the faces.

    Returns:
        A format that cannot be written becomes PNG.

    Raises:
        OptionError: several pictures and one output file, an output of a format that cannot be written,
            or two pictures with the same output.
    """
    found = list(found)
    named = output is not None and names_file(output)
    if named and len(found) != 1:
        raise OptionError(f"{len(found)} pictures cannot all become {output}; name a folder as the output.")
    jobs: dict[Path, Job] = {}
    for path, relative in found:
        target = Path(output or "") if named else _target(path, relative, output, suffix)
        job = Job(
            path,
            target,
            relative.as_posix(),
            named,
            target.with_name(f"{target.stem}_compare{target.suffix}") if compare else None,
            Path(faces, relative.with_suffix("")) if faces else None,
        )
        if jobs.setdefault(target, job) is not job:
            raise OptionError(
                f"{jobs[target].source} and {path} would both become {target}; restore them in two calls."
            )
    return list(jobs.values())


def _target(path: Path, relative: Path, output: str | None, suffix: str) -> Path:
    ending = path.suffix if path.suffix.lower() in WRITABLE_SUFFIXES else ".png"
    if output is None:
        return path.with_name(path.stem + suffix + ending)
    return Path(output) / relative.with_suffix(ending)


def names_file(output: str) -> bool:
    """Whether an output means a file and not a folder."""
    if not output:
        raise OptionError("--output is empty. Name a file or a folder (. is this one), or leave it out.")
    ending = Path(output).suffix.lower()
    if os.path.isdir(output) or output.endswith(("/", os.sep)):
        return False
    if ending in WRITABLE_SUFFIXES:
        return True
    if ending in {*READABLE_SUFFIXES, *Image.registered_extensions(), ".heic", ".heif", ".jxl", ".avif"}:
        raise OptionError(
            f"--output {output}: {ending} cannot be written. Take one of {', '.join(WRITABLE_SUFFIXES)}, or "
            f"name a folder ({output}/ makes one of that name)."
        )
    return False


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of a job, for as many machines; ``index`` is from 1 on."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``I/N``.

        Raises:
            OptionError: another text, or I not from 1 to N.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise OptionError(f"--shard {text}: expected I/N with I from 1 to N, such as 1/4.")
        return cls(int(match[1]), int(match[2]))

    def has(self, name: str) -> bool:
        """Whether a picture of this name is in this part: by its SHA-256, so the same everywhere."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1
