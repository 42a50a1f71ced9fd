"""Files, folders and patterns in, pairs of input and output file out."""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..errors import ImageError, OptionError, printable
from ..image_files import (
    WRITABLE_SUFFIXES,
    ImageFile,
    describe_left_out,
    find_image_files,
    read_image_file,
)

__all__ = ["add_max_pixels", "plan_outputs", "read_input", "say"]


def add_max_pixels(parser: argparse.ArgumentParser) -> None:
    """Register ``--max_pixels``, for ``read_input``."""
    parser.add_argument(
        "--max_pixels",
        type=int,
        metavar="N",
        help="refuse larger images; if not given, those over 134,217,728 pixels, and those over 16,777,216 "
        "with more than 100 for each byte of the file",
    )


def read_input(source: Path, max_pixels: int | None) -> ImageFile:
    """Read one file and say what is missing of it.

    Raises:
        ImageError: as ``read_image_file``.
    """
    Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit, in a process that is all ours: the reader has one
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
    """Decide where each picture's result goes.

    Args:
        inputs: files, folders (searched with their subfolders) and glob patterns.
        output: a file name with a picture's suffix for one input file, or a folder, which then mirrors the
            input folders; None writes beside each input, with ``suffix`` added to its name.
        suffix: such as ``_restored``.

    Returns:
        Pairs of input and output. A format that cannot be written becomes PNG.

    Raises:
        ImageError: a path or pattern leads to no picture.
        OptionError: several inputs and one output file, or two inputs with the same output.
    """
    found = [pair for text in inputs for pair in _expand(text)]
    if output is not None and Path(output).suffix.lower() in WRITABLE_SUFFIXES and not Path(output).is_dir():
        if len(found) != 1:
            raise OptionError(
                f"{len(found)} pictures cannot all become {output}; name a folder as the output."
            )
        return [(found[0][0], Path(output))]
    pairs: dict[Path, Path] = {}
    for path, relative in found:
        ending = path.suffix if path.suffix.lower() in WRITABLE_SUFFIXES else ".png"
        if output is None:
            target = path.with_name(path.stem + suffix + ending)
        else:
            target = Path(output) / relative.with_suffix(ending)
        if pairs.setdefault(target, path) != path:
            raise OptionError(
                f"{pairs[target]} and {path} would both become {target}; restore them in two calls."
            )
    return [(path, target) for target, path in pairs.items()]


def _expand(text: str) -> Iterator[tuple[Path, Path]]:
    """Each picture that an argument means, with its path below the folder that was named."""
    path = Path(text)
    if path.is_dir():
        if told := describe_left_out(path):
            say(f"{path}: {told}")
        yield from ((p, p.relative_to(path)) for p in find_image_files(path))
    elif path.exists() or not glob.has_magic(text):
        yield path, Path(path.name)  # A missing file is reported when it is its turn.
    else:
        files = sorted(Path(p) for p in glob.glob(text, recursive=True) if Path(p).is_file())
        if not files:
            raise ImageError(f"No file matches {text}.")
        yield from ((p, Path(p.name)) for p in files)
