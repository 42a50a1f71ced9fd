"""What a job has finished: a line of JSON for each picture, beside the output.

A line is appended, in one write, once all files of a picture lie ready beside their places and before they
are moved there. So after a kill at any moment the files on the disk agree with their line, or the picture is
done again. Paths are relative to the manifest, so that a job may move to another machine.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..atomic import remedy
from ..errors import OptionError
from .plan import Job, Shard

__all__ = ["Manifest", "Record", "manifest_path", "settings_key"]


def manifest_path(output: str | None, top: Path, shard: Shard | None = None) -> Path:
    """Where a job's manifest lies: beside its output, or in it where only that folder can be written to.

    Args:
        output: folder or file; None lies beside each picture.
        top: where the manifest lies without an output.
        shard: which has a file of its own.
    """
    part = f".{shard.index}-of-{shard.count}" if shard else ""
    if output is None:
        return top / f"restored.manifest{part}.jsonl"
    place = Path(os.path.realpath(output))
    inside = not place.name or (os.path.isdir(place) and not os.access(place.parent, os.W_OK))
    return (place if inside else place.parent) / f"{place.name or 'restored'}.manifest{part}.jsonl"


def settings_key(source: Path, settings: Mapping[str, Any]) -> str:
    """Short for a picture as it lies on the disk (length and time of change) and how it is restored.

    Raises:
        OSError: the picture cannot be looked at.
    """
    known = os.stat(source)
    text = json.dumps([known.st_size, known.st_mtime_ns, settings], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Record:
    """A finished picture.

    Attributes:
        key: see ``settings_key``.
        source: the picture's path.
        files: each file's path, output first, with its bytes and time of change in nanoseconds.
        entry: what the report says of it.
    """

    key: str
    source: str
    files: dict[str, tuple[int, int]]
    entry: dict[str, Any]


class Manifest:
    """The manifest of a job, and those of its other shards, which are read only.

    Args:
        path: where new lines go.
        read: whether to read what is there; else it is only written to.
    """

    def __init__(self, path: Path, *, read: bool = True) -> None:
        self.path = path
        self._folder = os.path.realpath(path.parent)
        # By path: where its latest line is and when the file was written, and every size that it had. Whole
        # lines of a million pictures would fill gigabytes.
        self._lines: dict[str, tuple[Path, int, int]] = {}
        self._sizes: dict[str, tuple[int, ...]] = {}
        self._handle: int | None = None
        start = path.name.partition(".manifest")[0] + ".manifest"
        others = glob.glob(glob.escape(str(path.parent / start)) + "*.jsonl") if read else []
        for file in sorted(others):
            self._read(Path(file))

    @classmethod
    def part_of(cls, path: Path, name: str) -> Manifest:
        """One beside the job's own, for another process of the same job."""
        return cls(path.with_name(f"{path.stem}.{name}{path.suffix}"), read=False)

    def find(self, job: Job) -> Record | None:
        """The latest line on a picture's output."""
        place = self._lines.get(self._relative(job.output))
        return None if place is None else _record_at(*place[:2])

    def lists(self, path: Path) -> bool:
        """Whether an earlier run has begun to write a file."""
        return self._relative(path) in self._lines

    def is_finished(self, job: Job, settings: Mapping[str, Any]) -> Record | None:
        """The line of a picture that need not be done again: same input and settings, all files there."""
        record = self.find(job)
        if record is None:
            return None
        relative = self._relative(job.output)
        try:
            if self._relative(job.source) == relative:
                # It has replaced its own input, so the key is of that.
                known = os.stat(job.output)
                done = list(record.files[relative]) == [known.st_size, known.st_mtime_ns]
                return record if done else None
            if record.key != settings_key(job.source, settings):
                return None
            sizes = {name: os.stat(os.path.join(self._folder, name)).st_size for name in record.files}
        except (OSError, KeyError):
            return None
        return record if all(sizes[name] == size for name, (size, _) in record.files.items()) else None

    def made(self, path: Path) -> bool:
        """Whether a file is as an earlier run has written it."""
        sizes = self._sizes.get(self._relative(path), ())
        with suppress(OSError):
            return os.stat(path).st_size in sizes
        return False

    def made_from_other(self, path: Path) -> bool:
        """Whether an earlier run has made a file of another one: it is a result and no input."""
        if not self.made(path):
            return False
        relative = self._relative(path)
        record = _record_at(*self._lines[relative][:2])
        return record is not None and record.source != relative

    @contextmanager
    def held(self) -> Iterator[None]:
        """Open it for new lines, and keep other runs of the same job out while the block runs.

        Raises:
            OptionError: it cannot be written, or another run holds it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise OptionError(f"The manifest {self.path} cannot be written: {remedy(error)}") from error
        try:
            _lock(self._handle, self.path)
            size = os.fstat(self._handle).st_size
            if size and _last_byte(self._handle, size) != b"\n":
                os.write(self._handle, b"\n")  # A kill or a full disk broke the last line off.
            yield
        finally:
            if os.fstat(self._handle).st_size == 0:
                self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = None

    def append(self, job: Job, key: str, files: Mapping[Path, os.stat_result], entry: dict[str, Any]) -> None:
        """Add a line, of files as they will lie at their places.

        Raises:
            OSError: the disk is full, or the like.
        """
        assert self._handle is not None
        names = {self._relative(p): (known.st_size, known.st_mtime_ns) for p, known in files.items()}
        line = json.dumps(asdict(Record(key, self._relative(job.source), names, entry))) + "\n"
        data = line.encode()
        if os.write(self._handle, data) != len(data):
            os.write(self._handle, b"\n")
            raise OSError(28, "No space left on device")

    def _relative(self, path: Path) -> str:
        # The folder is followed and the file is not: an output may be a link.
        real = os.path.join(os.path.realpath(path.parent), path.name)
        try:
            return Path(os.path.relpath(real, self._folder)).as_posix()
        except ValueError:  # another drive of Windows
            return Path(real).as_posix()

    def _read(self, path: Path) -> None:
        offset = 0
        with suppress(OSError), path.open("rb") as stream:
            for line in stream:
                if record := _parse(line):
                    for name, (size, time) in record.files.items():
                        # Which of two files has the later line, their names do not tell.
                        if name not in self._lines or time >= self._lines[name][2]:
                            self._lines[name] = path, offset, time
                        if size not in (sizes := self._sizes.get(name, ())):
                            self._sizes[name] = (*sizes, size)
                offset += len(line)


def _record_at(path: Path, offset: int) -> Record | None:
    with suppress(OSError), path.open("rb") as stream:
        stream.seek(offset)
        return _parse(stream.readline())
    return None


def _parse(line: bytes) -> Record | None:
    """A line's record; None where a kill broke it off, or somebody edited it."""
    try:
        record = Record(**json.loads(line))
        files = {str(name): (int(size), int(time)) for name, (size, time) in record.files.items()}
        return Record(str(record.key), str(record.source), files, dict(record.entry))
    except (ValueError, TypeError, AttributeError):
        return None


def _last_byte(handle: int, size: int) -> bytes:
    os.lseek(handle, size - 1, os.SEEK_SET)
    return os.read(handle, 1)


def _lock(handle: int, path: Path) -> None:
    """A lock that ends with the process; where the system has none, there is none."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OptionError(
            f"Another run is at work on this job: it holds {path}. Wait for it, or give each its own --shard."
        ) from error
    except OSError:  # a network's file system without locks
        return
