"""Read what ``torch.save`` writes, and build nothing from it but tensors and plain values.

The rule is that of ``torch.load(weights_only=True)`` with argparse.Namespace as the one more type. It is
kept here by a list of its own, because torch's cannot keep it everywhere: it refuses pickle protocol 4, which
the documented bundle is written with; before torch 2.5 it cannot be told of another type; a host may have
told it of more types, or put another function in the place of ``torch.load``, as AUTOMATIC1111's WebUI does.

Since torch 1.6 the file is a zip of ``NAME/data.pkl`` and one ``NAME/data/KEY`` for each storage. The legacy
form is four pickles (a magic number, a version, the platform, the contents), a pickle of the storages' keys,
and for each of them its length and its data.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ..errors import CheckpointError, UnsafeCheckpointError

__all__ = ["Arguments", "unpickle"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001
_STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

_FindStorage = Callable[[str, torch.dtype, int], Tensor]
"""Key, dtype and number of elements of a storage to a flat tensor."""


class Arguments:
    """What an argparse.Namespace held: its attributes, none of them checked."""


def unpickle(path: Path) -> Any:
    """The object in a file of ``torch.save``, its tensors on the CPU; a Namespace comes as `Arguments`.

    Args:
        path: a zip or a legacy file, whose first bytes say so already.

    Raises:
        UnsafeCheckpointError: the file asks for any other function or type; names it.
        CheckpointError: it is damaged, or another kind of zip or pickle.
    """
    try:
        with path.open("rb") as stream:
            is_zip = stream.read(2) == b"PK"
            stream.seek(0)
            return _load_zip(stream, path) if is_zip else _load_legacy(stream, path)
    except UnsafeCheckpointError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = str(error) or type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read as weights: {reason}. Its download may have broken off: get it again."
        ) from error


class _Unpickler(pickle._Unpickler):
    """Finds the few names that tensors and plain containers need, and nothing else.

    Each name is answered with an object of our own that lives as long as this unpickler: a pickle may set
    attributes on whatever it is given, and must not reach what others use. It is the unpickler in Python,
    because five bytes make the one in C reserve 64 GB for its memo.
    """

    def __init__(self, stream: IO[bytes], path: Path, find_storage: _FindStorage | None = None) -> None:
        super().__init__(stream, encoding="utf-8")
        self._path, self._find_storage = path, find_storage

        def rebuild_tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
            return torch.as_strided(storage, size, stride, offset)  # checks that it stays inside the storage

        def rebuild_parameter(tensor: Tensor, *_: Any) -> Tensor:
            return tensor

        self._known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("argparse", "Namespace"): type("Arguments", (Arguments,), {}),
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
            **{("torch", name): dtype for name, dtype in _STORAGES.items()},
        }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._known[module, name]
        except KeyError:
            raise UnsafeCheckpointError(
                f"{self._path} asks for {module}.{name}, which weights do not need and which might run code. "
                "It was refused and nothing of it was run. Get the file from its authors, or as .safetensors."
            ) from None

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _location, length = pid[:5]
        if kind != "storage" or self._find_storage is None or length < 0:
            raise CheckpointError(f"it holds an unknown reference, {pid!r}")
        return self._find_storage(key, dtype, length)


def _load_zip(file: IO[bytes], path: Path) -> Any:
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    roots = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise CheckpointError(f"it is a zip archive, not of torch.save (it holds {', '.join(names[:3])})")
    root = roots[0]
    if f"{root}/constants.pkl" in names:
        raise UnsafeCheckpointError(
            f"{path} is a TorchScript program, not weights. Save its state_dict with torch.save instead."
        )
    if f"{root}/byteorder" in names and archive.read(f"{root}/byteorder") != b"little":
        raise CheckpointError("it was written on a machine of another byte order")
    storages: dict[str, Tensor] = {}

    def find_storage(key: str, dtype: torch.dtype, length: int) -> Tensor:
        if key not in storages:
            storages[key] = _read_record(archive, f"{root}/data/{key}", dtype, length)
        return storages[key]

    with archive.open(f"{root}/data.pkl") as stream:
        return _Unpickler(stream, path, find_storage).load()


def _read_record(archive: zipfile.ZipFile, name: str, dtype: torch.dtype, length: int) -> Tensor:
    record = archive.getinfo(name)
    # torch compresses nothing; a compressed record could be far larger than the file it comes in.
    if record.compress_type != zipfile.ZIP_STORED or record.file_size != length * dtype.itemsize:
        raise CheckpointError(f"record {name} is not {length} numbers of {dtype}")
    storage = torch.empty(length, dtype=dtype, device="cpu")
    with archive.open(record) as stream:
        _fill(storage, stream)
    return storage


def _load_legacy(stream: IO[bytes], path: Path) -> Any:
    file_size = path.stat().st_size
    if _Unpickler(stream, path).load() != _LEGACY_MAGIC:
        raise CheckpointError("it is a pickle, but not of torch.save")
    if _Unpickler(stream, path).load() != _LEGACY_VERSION:
        raise CheckpointError("it is of an unknown version of torch.save")
    if not _Unpickler(stream, path).load()["little_endian"]:
        raise CheckpointError("it was written on a machine of another byte order")
    storages: dict[str, Tensor] = {}

    def find_storage(key: str, dtype: torch.dtype, length: int) -> Tensor:
        if length * dtype.itemsize > file_size:
            raise CheckpointError(f"storage {key} would be larger than the file")
        if key not in storages:
            storages[key] = torch.zeros(length, dtype=dtype, device="cpu")
        return storages[key]

    contents = _Unpickler(stream, path, find_storage).load()
    for key in _Unpickler(stream, path).load():  # the data comes last; tensors made above are views of it
        if int.from_bytes(stream.read(8), "little") != len(storages[key]):
            raise CheckpointError(f"storage {key} has another length than its tensors say")
        _fill(storages[key], stream)
    return contents


def _fill(storage: Tensor, stream: IO[bytes]) -> None:
    target = storage.view(torch.uint8).numpy().data
    if stream.readinto(target) != len(target):  # type: ignore[attr-defined]  # all binary streams have it
        raise CheckpointError("it ends in the middle of a tensor")
