"""Which pictures the arguments of a command mean, and what they leave out."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from ..errors import ImageError, OptionError, printable
from ..image_files import READABLE_SUFFIXES, describe_left_out, is_image_file_name

__all__ = ["Pictures", "find_pictures", "named_and_counted"]

_STAGING = ".gpen-nodes-"


class Pictures(NamedTuple):
    """What was found.

    Attributes:
        found: each picture, with its path below the folder that was named.
        left_out: a sentence on each group of files that is not among them.
    """

    found: list[tuple[Path, Path]]
    left_out: list[str]


def find_pictures(
    inputs: Sequence[str],
    results_below: Sequence[Path] = (),
    is_result: Callable[[Path], bool] = lambda path: False,
) -> Pictures:
    """Files, folders with their subfolders, and glob patterns as pictures; each once.

    Args:
        inputs: as the user wrote them. A missing file is taken: it is reported when it is its turn.
        results_below: folders that this job writes to. What folders and patterns have there is left out, but
            for a folder that is named itself.
        is_result: whether an earlier run of this job made a file, which is then left out.

    Raises:
        OptionError: an empty text.
        ImageError: a folder or pattern without pictures.
    """
    pictures = Pictures([], [])
    seen: set[Path] = set()
    for text in inputs:
        if not text:
            raise OptionError("--input is empty. Name a file, a folder (. is this one) or a pattern.")
        results = []
        for path, relative, searched in _expand(text, pictures.left_out):
            if is_result(path) or (searched and _lies_below(path, Path(text), results_below)):
                results.append(path)
            elif path not in seen:
                seen.add(path)
                pictures.found.append((path, relative))
        if results:
            what = named_and_counted(results, "result", "results")
            pictures.left_out.append(f"{printable(text)}: left out as of this job itself: {what}.")
    if not pictures.found:
        raise ImageError(" ".join(["No picture is left to be done.", *pictures.left_out]))
    return pictures


def named_and_counted(paths: Sequence[object], one: str, many: str, limit: int = 5) -> str:
    """Such as ``7 pictures (a.jpg, b.jpg, … and 2 more)``."""
    names = ", ".join(printable(str(path)) for path in paths[:limit])
    more = f" and {len(paths) - limit} more" if len(paths) > limit else ""
    return f"{len(paths)} {one if len(paths) == 1 else many} ({names}{more})"


def _lies_below(path: Path, named: Path, folders: Sequence[Path]) -> bool:
    resolved, top = _resolved(path), _resolved(named)
    return any(
        folder in resolved.parents and folder != top and folder not in top.parents for folder in folders
    )


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _expand(text: str, left_out: list[str]) -> Iterator[tuple[Path, Path, bool]]:
    """Path, path below what was named, and whether it was searched for rather than named."""
    path = Path(text)
    # os.path's tests are False where pathlib's raise: forbidden folders and over-long names.
    if os.path.isdir(path):
        yield from ((p, p.relative_to(path), True) for p in _walk(path, left_out))
    elif os.path.lexists(path) or not glob.has_magic(text):
        yield path, Path(path.name), False
    else:
        files = sorted(Path(p) for p in glob.glob(text, recursive=True) if os.path.isfile(p))
        if not files:
            raise ImageError(f"No file matches {text}.")
        yield from ((p, Path(p.name), True) for p in files)


def _walk(folder: Path, left_out: list[str]) -> list[Path]:
    closed: list[str] = []
    found = []
    for place, folders, names in os.walk(folder, onerror=lambda error: closed.append(str(error.filename))):
        folders[:] = [name for name in folders if not name.startswith(_STAGING)]  # what a kill left behind
        paths = (Path(place, name) for name in names if is_image_file_name(name))
        found += [path for path in paths if os.path.isfile(path)]
    if closed:
        left_out.append(
            f"Left out, as they cannot be read: {named_and_counted(closed, 'folder', 'folders')}."
        )
    if not found:
        more = " " + " ".join(left_out) if left_out else ""
        raise ImageError(f"{folder} holds no picture; looked for {', '.join(READABLE_SUFFIXES)}.{more}")
    if told := describe_left_out(folder, lambda path: fnmatch(path.name, "*.manifest*.jsonl")):
        left_out.append(f"{folder}: {told}")
    return sorted(found)
