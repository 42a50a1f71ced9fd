"""Which files are image files, by their names."""

from __future__ import annotations

from pathlib import Path

from ..errors import ImageError
from .formats import READABLE_SUFFIXES

__all__ = ["find_image_files", "is_image_file_name"]


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
