"""Files that appear together and whole: made beside their places, entered in the manifest, moved there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ImageError
from .manifest import Manifest
from .plan import Job

__all__ = ["Delivery"]

Write = Callable[[Path], None]


class Delivery:
    """The way of a job's files to their places.

    Args:
        manifest: is told of each picture; None tells nobody.
        name: of the job: by it the next run knows what a killed one has left behind.
        part: of the job's workers, each of which needs its own: one that is taken for lost may still write.
    """

    def __init__(self, manifest: Manifest | None, name: str, part: str = "") -> None:
        self._manifest, self._part = manifest, part
        self._staging = (
            f".gpen-nodes-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"
        )
        self._folders: set[Path] = set()

    def clear(self, folders: Iterable[Path]) -> None:
        """Remove what a killed run of this job has left in these folders, and what this run has made."""
        for folder in {folder / self._staging for folder in folders} | self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()

    def deliver(self, job: Job, key: str, files: Mapping[Path, Write], entry: dict[str, Any]) -> None:
        """Write all files of one picture, or none.

        Args:
            files: what writes each, the output first. A device or a pipe is written to directly.

        Raises:
            OSError, GpenError: what writing raises; nothing is left of it then.
        """
        staged: dict[Path, Path] = {}
        try:
            for path, write in files.items():
                if os.path.exists(path) and not os.path.isfile(path):
                    write(path)
                else:
                    staged[path] = self._stage(path)
                    _write_as(path, staged[path], write)
            if self._manifest is not None:
                known = {path: os.stat(stage) for path, stage in staged.items()}
                self._manifest.append(job, key, known, entry)
            for path, stage in staged.items():
                os.replace(stage, os.path.realpath(path))
        finally:
            for stage in staged.values():
                stage.unlink(missing_ok=True)

    def _stage(self, path: Path) -> Path:
        real = Path(os.path.realpath(path))  # A link is followed, as plain writing would.
        folder = real.parent / self._staging / self._part
        folder.mkdir(parents=True, exist_ok=True)
        self._folders.add(folder)
        return folder / real.name


def _write_as(path: Path, stage: Path, write: Write) -> None:
    try:
        write(stage)
    except ImageError as error:
        raise ImageError(str(error).replace(str(stage), str(path))) from error
