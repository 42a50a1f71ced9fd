"""Files, folders and patterns in, pairs of input and output file out."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import ImageError, OptionError
from ..image_files import WRITABLE_SUFFIXES, find_image_files

__all__ = ["plan_outputs"]


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
        yield from ((p, p.relative_to(path)) for p in find_image_files(path))
    elif path.exists() or not glob.has_magic(text):
        yield path, Path(path.name)  # A missing file is reported when it is its turn.
    else:
        files = sorted(Path(p) for p in glob.glob(text, recursive=True) if Path(p).is_file())
        if not files:
            raise ImageError(f"No file matches {text}.")
        yield from ((p, Path(p.name)) for p in files)
