"""What is looked at before the first picture is read: nobody's file is replaced, and there is room."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from ..errors import OptionError, printable
from .plan import Job

__all__ = ["check_plan", "check_room"]

_FACE = re.compile(r"(.*?)(?:_face\d{2,})?_(?:aligned|restored)\.png")
_SHOWN = 5


def check_plan(
    jobs: Sequence[Job],
    *,
    report: str | None = None,
    overwrite: bool = False,
    is_result: Callable[[Path], bool] = lambda path: False,
    kept: Sequence[Path] = (),
) -> None:
    """Make sure that a job replaces nothing but what the user named, and can write where it will.

    Args:
        jobs: all pictures, also those that are finished.
        report: a file that is written at the end; it may replace a file, since the user names it.
        overwrite: allow outputs to replace inputs and files that are there.
        is_result: whether an earlier run of this job made a file.
        kept: further files that are read, such as the model: never replaced.

    Raises:
        OptionError: names the first few things that are wrong, and counts the others.
    """
    problems = [
        *_replaced(jobs, report, overwrite, is_result, kept),
        *_not_writable({p.parent for job in jobs for p in _files(job)}, "--output"),
        *([] if report is None else _report(Path(report))),
    ]
    if problems:
        more = f"\nand {len(problems) - _SHOWN} more of the kind." if len(problems) > _SHOWN else ""
        raise OptionError("\n".join(problems[:_SHOWN]) + more)


def check_room(jobs: Sequence[Job]) -> None:
    """Make sure that outputs of the inputs' size find room, for less would surely not do.

    Raises:
        OptionError: says how much is free.
    """
    wanted: dict[int, tuple[Path, int]] = {}
    for job in jobs:
        folder = _existing(job.output.parent)
        try:
            device, size = os.stat(folder).st_dev, os.stat(job.source).st_size
        except OSError:
            continue  # It is reported when it is its turn.
        wanted[device] = folder, wanted.get(device, (folder, 0))[1] + size
    for folder, size in wanted.values():
        free = shutil.disk_usage(folder).free
        if free < size:
            raise OptionError(
                f"{folder} has {free / 1e6:,.0f} MB free; the pictures alone have {size / 1e6:,.0f} MB. "
                "Free some space, write to another disk, or do a part (--shard)."
            )


def _files(job: Job) -> Iterator[Path]:
    yield from job.files()
    if job.faces:
        yield job.faces


def _real(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


def _replaced(
    jobs: Sequence[Job],
    report: str | None,
    overwrite: bool,
    is_result: Callable[[Path], bool],
    kept: Sequence[Path],
) -> Iterator[str]:
    inputs = {_real(job.source) for job in jobs}
    others = {_real(path) for path in kept}
    taken: dict[str, Path] = {}
    faces = lru_cache(maxsize=64)(_faces_by_name)
    for job in jobs:
        for path in _files(job):
            real = _real(path)
            main = path == job.output
            first = taken.setdefault(real, job.source)
            if first is not job.source:
                what = f"{path}_…" if path == job.faces else str(path)
                yield f"{first} and {job.source} would both write {what}; restore them in two calls."
            elif real in others or (real in inputs and not (main and overwrite)):
                kind = "an input" if real in inputs else "read by this job"
                yield (
                    f"{path} is {kind} and would be replaced. Name another --output, or add --overwrite."
                    if main
                    else f"{path} is {kind} and would be replaced. Name another --output."
                )
            elif os.path.isdir(path) and path != job.faces:
                yield f"{path} is a folder, where a file would be written. Name another --output."
            elif not overwrite:
                there = faces(path.parent).get(path.name, []) if path == job.faces else [path]
                for old in there:
                    if os.path.lexists(old) and not (main and job.named) and not is_result(old):
                        yield (
                            f"{old} is there already, and not from this job. Name another folder, or add "
                            "--overwrite."
                        )
    if report is not None and (_real(Path(report)) in inputs | others | taken.keys()):
        yield f"--report {printable(report)} is a file of this job and would be replaced by JSON."


def _faces_by_name(folder: Path) -> dict[str, list[Path]]:
    """Files of faces that lie in a folder, by the start of their names."""
    names: dict[str, list[Path]] = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if match := _FACE.fullmatch(name):
            names.setdefault(match[1], []).append(folder / name)
    return names


def _report(report: Path) -> Iterator[str]:
    if os.path.isdir(report):
        yield f"--report {report} is a folder; name a file."
    else:
        yield from _not_writable({report.parent}, "--report")


def _not_writable(folders: set[Path], option: str) -> Iterator[str]:
    for folder in sorted({_existing(folder) for folder in folders}):
        if not os.path.isdir(folder):
            yield f"{folder} is a file, where {option} needs a folder. Check the path."
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield f"{folder} cannot be written to. Choose another {option}, or change its permissions."


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there: the others will be made."""
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder
