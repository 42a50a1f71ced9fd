"""What commands that read image files have in common: their limit, their notes, their lines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..batch import notes_on
from ..errors import printable
from ..image_files import ImageFile, read_image_file

__all__ = ["add_max_pixels", "allow_large_images", "read_input", "say"]


def add_max_pixels(parser: argparse.ArgumentParser) -> None:
    """Register ``--max_pixels``, for ``read_input``."""
    parser.add_argument(
        "--max_pixels",
        type=int,
        metavar="N",
        help="refuse larger images; if not given, those over 134,217,728 pixels, and those over 16,777,216 "
        "with more than 100 for each byte of the file",
    )


def allow_large_images() -> None:
    """Lift Pillow's own limit, in a process that is all ours: the reader has one."""
    Image.MAX_IMAGE_PIXELS = None


def read_input(source: Path, max_pixels: int | None) -> ImageFile:
    """Read one file and say what is missing of it.

    Raises:
        ImageError: as ``read_image_file``.
    """
    allow_large_images()
    image_file = read_image_file(source, max_pixels)
    for note in notes_on(source, image_file):
        say(note)
    return image_file


def say(text: str) -> None:
    """One line on the terminal, above a progress bar; what a terminal would obey is shown instead."""
    tqdm.write(printable(text), file=sys.stderr)
