"""Files, folders and patterns in, pairs of input and output file out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..batch import find_pictures, names_file, plan_jobs
from ..errors import printable
from ..image_files import ImageFile, read_image_file

__all__ = ["add_max_pixels", "allow_large_images", "plan_outputs", "read_input", "say"]


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
    for what in image_file.damage:
        say(f"{source} is damaged: {what}. It is used as far as it can be read.")
    if image_file.frames > 1:
        say(f"{source}: only the first of {image_file.frames} frames is used.")
    return image_file


def say(text: str) -> None:
    """One line on the terminal, above a progress bar; what a terminal would obey is shown instead."""
    tqdm.write(printable(text), file=sys.stderr)


def plan_outputs(inputs: Sequence[str], output: str | None, *, suffix: str) -> list[tuple[Path, Path]]:
    """Decide where each picture's result goes; see ``find_pictures`` and ``plan_jobs``.

    Args:
        inputs: files, folders (searched with their subfolders) and glob patterns.

    Returns:
        Pairs of input and output.

    Raises:
        ImageError: a path or pattern leads to no picture.
        OptionError: several inputs and one output file, or two inputs with the same output.
    """
    below = [] if output is None or names_file(output) else [Path(output).resolve()]
    pictures = find_pictures(inputs, below)
    jobs = plan_jobs(pictures.found, output, suffix=suffix)
    for sentence in pictures.left_out:
        say(sentence)
    return [(job.source, job.output) for job in jobs]
