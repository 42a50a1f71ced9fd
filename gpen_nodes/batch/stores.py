"""Pictures and results in object stores, by fsspec's addresses such as ``s3://bucket/photos``."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import GpenError, ImageError, MissingWeightsError, OptionError
from .deliver import Write
from .manifest import Record
from .plan import Job

__all__ = ["Store", "StoreDelivery", "is_address", "is_safe_name", "object_key"]

# By what the stores tell that an object has changed.
_CHANGE = ("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "last_modified", "created")


def is_address(text: str) -> bool:
    """Whether a text is an address, and not a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


class Store:
    """A folder in an object store.

    Args:
        address: such as ``s3://bucket/photos``. Keys and regions come from where the store's own tools look.

    Raises:
        MissingWeightsError: fsspec, or its package for this kind of store, is not installed.
        OptionError: an address of no kind that fsspec knows.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        try:
            from fsspec.core import url_to_fs

            self._files, self._root = url_to_fs(self.address)
        except ImportError as error:
            raise MissingWeightsError(
                f"{address}: {error}. Addresses need the extra, pip install 'gpen-nodes[ray]', and the "
                "store's own package, such as s3fs or gcsfs."
            ) from error
        except ValueError as error:
            raise OptionError(f"{address}: {error}. Expected such as s3://bucket/photos.") from error

    def find(self) -> dict[str, tuple[int, str]]:
        """All objects by their names below the folder: bytes, and what tells that it has changed.

        Raises:
            OptionError: the store does not answer, or refuses.
        """
        with self._told("cannot be listed", OptionError):
            found = self._files.find(self._root, detail=True)
        start = len(self._root.rstrip("/")) + 1
        return {path[start:]: _known(info) for path, info in found.items() if len(path) > start}

    def get_all(self, pattern: str, folder: Path) -> None:
        """Copy the objects of a pattern to a folder, many at a time.

        Raises:
            OptionError: the store does not answer, or refuses.
        """
        with self._told("cannot be read", OptionError):
            found = [str(path) for path in self._files.glob(f"{self._root}/{pattern}")]
            folder.mkdir(parents=True, exist_ok=True)
            self._files.get(found, [str(folder / path.rpartition("/")[2]) for path in found])

    def get(self, name: str, path: Path) -> None:
        """Copy an object to a file.

        Raises:
            ImageError: it cannot be had.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._told(f"could not give {name}", ImageError):
            self._files.get_file(f"{self._root}/{name}", str(path))

    def put(self, name: str, data: bytes) -> None:
        """Make an object, whole or not at all where the store can.

        Raises:
            ImageError: it cannot be written.
        """
        place = f"{self._root}/{name}"
        with self._told(f"could not take {name}", ImageError):
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(place, data)

    @contextmanager
    def _told(self, what: str, kind: type[GpenError]) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Each store has its own.
            raise kind(f"{self.address} {what}: {type(error).__name__}: {error}") from error


def is_safe_name(name: str) -> bool:
    """Whether a file of this name lies below the folder where it is put, under that very name."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name


def object_key(known: tuple[int, str], settings: Mapping[str, Any]) -> str:
    """As ``settings_key``, for an object as ``Store.find`` gives it."""
    text = json.dumps([known, settings], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _known(info: Mapping[str, Any]) -> tuple[int, str]:
    change = next((str(info[name]) for name in _CHANGE if info.get(name) is not None), "")
    return int(info.get("size") or 0), change


class StoreDelivery:
    """As ``Delivery``, for a group of pictures: first the manifest's lines, then the files.

    A store appends to nothing, so each group has an object of lines of its own.

    Args:
        store: the folder above the output.
        manifest: start of the names of its objects.
    """

    def __init__(self, store: Store, manifest: str) -> None:
        self._store, self._manifest = store, manifest

    def begin(self, folder: Path, keys: Mapping[str, str]) -> None:
        """Begin a group.

        Args:
            folder: on this machine, for the files; its names are the store's.
            keys: of the pictures, by their names.
        """
        self._folder, self._keys = folder, keys
        self._ready: dict[str, list[str]] = {}
        self._lines: list[str] = []

    def deliver(self, job: Job, key: str, files: Mapping[Path, Write], entry: dict[str, Any]) -> None:
        """Write a picture's files here; ``send`` moves them. ``key`` is of a copy, so it says nothing."""
        sizes = {}
        for path, write in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
            name = path.relative_to(self._folder).as_posix()
            sizes[name] = path.stat().st_size, time.time_ns()
        record = Record(self._keys[job.name], job.name, sizes, entry)
        self._lines.append(json.dumps(asdict(record)) + "\n")
        self._ready[job.name] = [*sizes]

    def send(self) -> dict[str, ImageError]:
        """Send all to the store; the errors, by the names of the pictures."""
        failed: dict[str, ImageError] = {}
        if not self._lines:
            return failed
        data = "".join(self._lines).encode()
        part = hashlib.sha256(data).hexdigest()[:16]
        try:
            self._store.put(f"{self._manifest}.ray-{part}.jsonl", data)
        except ImageError as error:
            return dict.fromkeys(self._ready, error)
        for picture, names in self._ready.items():
            try:
                for name in names:
                    self._store.put(name, (self._folder / name).read_bytes())
            except ImageError as error:
                failed[picture] = error
        return failed
