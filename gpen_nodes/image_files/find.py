"""Which files are image files, by their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import ImageError, printable
from .formats import READABLE_SUFFIXES, missing_package

__all__ = ["describe_left_out", "find_image_files", "is_image_file_name"]

_NAMED = 10


def is_image_file_name(name: str) -> bool:
    """Whether a file of this name, with or without folders, is an image file."""
    # macOS puts a hidden ._ file beside each file of an archive.
    return name.lower().endswith(READABLE_SUFFIXES) and not Path(name).name.startswith(".")


def find_image_files(folder: str | Path) -> list[Path]:
    """Every image file in a folder and its subfolders, sorted.

    Raises:
        ImageError: there is none.
    """
    found = sorted(p for p in Path(folder).rglob("*") if is_image_file_name(p.name) and p.is_file())
    if not found:
        raise ImageError(f"{folder} holds no picture; looked for {', '.join(READABLE_SUFFIXES)}.")
    return found


def describe_left_out(folder: str | Path, known: Callable[[Path], bool] = lambda path: False) -> str | None:
    """A sentence on the files that ``find_image_files`` leaves out; hidden and known ones aren't named."""
    left_out = []
    for path in sorted(Path(folder).rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or path.is_dir() or known(path) or (is_image_file_name(path.name) and path.is_file()):
            continue
        package = missing_package(path.name)
        left_out.append(printable(str(inside)) + (f" (needs {package})" if package else ""))
    if not left_out:
        return None
    names, more = ", ".join(left_out[:_NAMED]), len(left_out) - _NAMED
    are = "file is" if len(left_out) == 1 else "files are"
    others = f" and {more} more" if more > 0 else ""
    return f"{len(left_out)} {are} left out, as no image that is read here: {names}{others}."
