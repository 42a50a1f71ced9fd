"""Files of ``torch.save``: the zip that torch writes since 1.6, and the legacy form.

The zip holds ``NAME/data.pkl`` and one ``NAME/data/KEY`` for each storage, none of them compressed. The
legacy form is four pickles (a magic number, a version, the platform, the contents), a pickle of the storages'
keys, and for each of them its length and its data.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ..errors import CheckpointError, UnsafeCheckpointError
from .unpickle import Unpickler

__all__ = ["is_torch_file", "read_torch_file"]

MAX_PICKLE = 2**23
"""Bytes of a pickle or of a zip's directory; those of GPEN-2048 have 30 kB."""

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_LOCAL_HEADER = 30
_BROKEN = " Its download may have broken off: get it again"


def is_torch_file(head: bytes) -> bool:
    """Whether a file starts as a zip or as a pickle."""
    return head.startswith((b"PK\x03\x04", b"\x80"))


def read_torch_file(path: Path) -> tuple[Any, dict]:
    """The object in a file of ``torch.save``, its tensors on the CPU, and no metadata.

    Raises:
        UnsafeCheckpointError: the file asks for any other function or type; names it.
        CheckpointError: it is damaged, or another kind of zip or pickle.
    """
    try:
        with path.open("rb") as stream:
            is_zip = stream.read(2) == b"PK"
            stream.seek(0)
            return (_load_zip if is_zip else _load_legacy)(stream, path), {}
    except UnsafeCheckpointError as error:
        raise UnsafeCheckpointError(f"{path}: {error}") from None
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be read as weights: {error}.") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"{path} cannot be read as weights: {reason}.{_BROKEN}.") from error


class _Bounded:
    """A file whose reads are bounded, before memory is taken for them: for zip directories and pickles."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int | None = -1) -> bytes:
        data = self._stream.read(MAX_PICKLE + 1 if size is None or size < 0 else min(size, MAX_PICKLE + 1))
        if len(data) > MAX_PICKLE:
            raise CheckpointError(f"a part of it that describes the weights is over {MAX_PICKLE >> 20} MB")
        return data

    def readinto(self, target: Any) -> int:
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)


class _Storages:
    """Storages by key, read at most once each; together no longer than the file."""

    def __init__(self, size: int) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._left = size

    def reserve(self, key: str, dtype: torch.dtype, length: int) -> Tensor:
        self._left -= length * dtype.itemsize
        if self._left < 0:
            raise CheckpointError(f"storage {key} would be larger than the file.{_BROKEN}")
        self.tensors[key] = torch.empty(length, dtype=dtype, device="cpu")
        return self.tensors[key]


def _load_zip(file: IO[bytes], path: Path) -> Any:
    archive = zipfile.ZipFile(_Bounded(file))  # type: ignore[arg-type]  # it has what ZipFile takes
    records = {info.filename: info for info in archive.infolist()}
    roots = [name.removesuffix("/data.pkl") for name in records if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(
            f"it is a zip archive, not of torch.save (it holds {', '.join([*records][:3])})"
        )
    root = roots[0]
    if f"{root}/constants.pkl" in records:
        raise UnsafeCheckpointError(
            "it is a TorchScript program, not weights. Save its state_dict with torch.save instead."
        )
    order = records.get(f"{root}/byteorder")
    if order and _small_record(file, order) != b"little":
        raise CheckpointError("it was written on a machine of another byte order")
    storages = _Storages(path.stat().st_size)

    def find_storage(key: str, dtype: torch.dtype, length: int) -> Tensor:
        if key not in storages.tensors:
            info = records[f"{root}/data/{key}"]
            if info.file_size != length * dtype.itemsize:
                raise CheckpointError(f"record {info.filename} is not {length} numbers of {dtype}")
            _read_record(file, info, memoryview(_bytes(storages.reserve(key, dtype, length))))
        return storages.tensors[key]

    pickled = _small_record(file, records[f"{root}/data.pkl"])
    return Unpickler(io.BytesIO(pickled), find_storage).load()


def _small_record(file: IO[bytes], info: zipfile.ZipInfo) -> bytes:
    if info.file_size > MAX_PICKLE:
        raise CheckpointError(f"record {info.filename} is over {MAX_PICKLE >> 20} MB, too long for weights")
    data = bytearray(info.file_size)
    _read_record(file, info, memoryview(data))
    return bytes(data)


def _read_record(file: IO[bytes], info: zipfile.ZipInfo, target: memoryview) -> None:
    """Straight from the file: ``zipfile`` would ask for a checksum where torch was told to write none."""
    # torch compresses nothing; a compressed record could be far larger than the file it comes in.
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise CheckpointError(f"record {info.filename} is not stored as it is")
    file.seek(info.header_offset)
    header = file.read(_LOCAL_HEADER)
    if header[:4] != b"PK\x03\x04" or len(header) < _LOCAL_HEADER:
        raise CheckpointError(f"record {info.filename} is not where the archive says")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    file.seek(names, io.SEEK_CUR)
    _fill(target, file)
    if info.CRC and zlib.crc32(target) != info.CRC:
        raise CheckpointError(f"record {info.filename} is not what was written.{_BROKEN}")


def _load_legacy(stream: IO[bytes], path: Path) -> Any:
    start = stream.read(MAX_PICKLE)
    pickles = io.BytesIO(start)
    if Unpickler(pickles).load() != _LEGACY_MAGIC:
        raise CheckpointError("it is a pickle, but not of torch.save")
    if Unpickler(pickles).load() != _LEGACY_VERSION:
        raise CheckpointError("it is of an unknown version of torch.save")
    if not Unpickler(pickles).load()["little_endian"]:
        raise CheckpointError("it was written on a machine of another byte order")
    storages = _Storages(path.stat().st_size)

    def find_storage(key: str, dtype: torch.dtype, length: int) -> Tensor:
        return storages.tensors[key] if key in storages.tensors else storages.reserve(key, dtype, length)

    contents = Unpickler(pickles, find_storage).load()
    keys = Unpickler(pickles).load()
    if not _same_names(keys, storages.tensors):
        raise CheckpointError("its list of storages is not that of its tensors")
    stream.seek(pickles.tell())
    for key in keys:  # the data comes last; tensors made above are views of it
        if int.from_bytes(stream.read(8), "little") != len(storages.tensors[key]):
            raise CheckpointError(f"storage {key} has another length than its tensors say")
        _fill(memoryview(_bytes(storages.tensors[key])), stream)
    return contents


def _same_names(found: Any, expected: dict[str, Tensor]) -> bool:
    is_names = isinstance(found, list) and all(isinstance(name, str) for name in found)
    return is_names and sorted(found) == sorted(expected)


def _bytes(storage: Tensor) -> Any:
    return storage.view(torch.uint8).numpy().data


def _fill(target: memoryview, stream: IO[bytes]) -> None:
    if stream.readinto(target) != len(target):  # type: ignore[attr-defined]  # all binary streams have it
        raise CheckpointError(f"it ends in the middle of a tensor.{_BROKEN}")
