"""A pickle to tensors and plain values, and to nothing else.

The rule is that of ``torch.load(weights_only=True)`` with argparse.Namespace as the one more type. It is
kept here by a list of its own, because torch's cannot keep it everywhere: it refuses pickle protocol 4, which
the documented bundle is written with; before torch 2.5 it cannot be told of another type; a host may have
told it of more types, or put another function in the place of ``torch.load``, as AUTOMATIC1111's WebUI does.

Numbers of numpy, which training loops leave beside the weights, become `Ignored`. A pickle may take no more
steps than `MAX_STEPS`, and no step makes more than the bytes that it is written with: that bounds time and
memory.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, UnsafeCheckpointError

__all__ = ["Arguments", "Ignored", "Unpickler"]

MAX_STEPS = 500_000
"""Pickle instructions in a file; a snapshot of GPEN's training with both optimizers takes about 100,000."""
MAX_AXES = 16

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
_NUMPY = (
    *(("numpy.core.multiarray", name) for name in ("scalar", "_reconstruct")),
    *(("numpy._core.multiarray", name) for name in ("scalar", "_reconstruct")),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("_codecs", "encode"),  # bytes, in protocol 2
)
# What protocols 2 to 5 write for tensors, containers, strings and numbers. Left out are sets (they hash what
# they are given), byte arrays (they take memory before they read), copyreg's extensions and the text forms.
_STEPS = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET "
    "NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT "
    "BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 "
    "EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_DICT DICT SETITEM SETITEMS GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID"
)

FindStorage = Callable[[str, torch.dtype, int], Tensor]
"""Key, dtype and number of elements of a storage to a flat tensor."""


class Arguments:
    """What an argparse.Namespace held: ``values`` by name, none of them checked."""

    def __init__(self) -> None:
        self.values: Any = {}


class Ignored:
    """Stands where the file has an object of numpy."""


class Unpickler(pickle._Unpickler):
    """Finds the few names that tensors and plain containers need, and nothing else.

    Each name is answered with an object of our own, which takes nothing that could change it: a pickle must
    not reach what others use. It is the unpickler in Python, because five bytes make the one in C reserve
    64 GB for its memo.

    Raises:
        UnsafeCheckpointError: the pickle asks for anything else; names what, and the key under which it lies.
        CheckpointError: it takes more than `MAX_STEPS`, or a tensor is larger than its storage.
    """

    def __init__(self, data: io.BytesIO, find_storage: FindStorage | None = None) -> None:
        super().__init__(data, encoding="utf-8")
        self._find_storage = find_storage
        self.dispatch = _Dispatch()  # type: ignore[misc]  # of this unpickler, for it counts
        self._known = {
            ("collections", "OrderedDict"): _make_dict,
            ("argparse", "Namespace"): type("Namespace", (Arguments,), {}),
            ("torch", "Size"): _make_size,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
            **dict.fromkeys(_NUMPY, _ignore),
            **{("torch", name): dtype for name, dtype in _STORAGES.items()},
        }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._known[module, name]
        except KeyError:
            raise UnsafeCheckpointError(
                f"{self._where()} asks for {module}.{name}, which weights do not need and which might run "
                "code. It was refused and nothing of it was run. Get the file from its authors, or as "
                ".safetensors."
            ) from None

    def persistent_load(self, pid: Any) -> Tensor:
        if self._find_storage is None or not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise CheckpointError("it holds a reference that is no storage")
        _kind, dtype, key, _location, length = pid[:5]
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str) or not isinstance(length, int):
            raise CheckpointError("it holds a storage without type, name or length")
        if not 0 <= length < 2**48:
            raise CheckpointError(f"storage {key} has an impossible length")
        return self._find_storage(key, dtype, length)

    def _where(self) -> str:
        """The keys on the way to what is being read, as ``its entry args.path``; ``it`` at the top."""
        keys = []
        for frame in (*self.metastack, self.stack):  # type: ignore[attr-defined]  # of pickle._Unpickler
            # Within a dictionary's mark keys and values alternate; without one the key follows it.
            alternating = [entry for entry in frame[::2] if isinstance(entry, str)]
            alone = [key for entry, key in pairwise(frame) if isinstance(entry, dict)]
            keys += [key for key in (alone or alternating)[-1:] if isinstance(key, str) and key != "storage"]
        return f"its entry {'.'.join(keys)}" if keys else "it"


class _Dispatch(dict):
    """What each instruction does; counts them and knows none but `_STEPS`."""

    def __init__(self) -> None:
        known = pickle._Unpickler.dispatch  # type: ignore[attr-defined]  # the one in Python
        super().__init__({(code := getattr(pickle, name)[0]): known[code] for name in _STEPS.split()})
        self[pickle.BUILD[0]] = _build
        self[pickle.SETITEM[0]] = _set_item
        self[pickle.SETITEMS[0]] = _set_items
        self[pickle.DICT[0]] = _dict
        self[pickle.REDUCE[0]] = _reduce
        self[pickle.NEWOBJ[0]] = _new_object
        self._left = MAX_STEPS

    def __getitem__(self, code: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise CheckpointError(f"it takes more than {MAX_STEPS:,} steps to read, far beyond any weights")
        return super().__getitem__(code)

    def __missing__(self, code: int) -> Any:
        known = pickletools.code2op.get(chr(code))  # type: ignore[attr-defined]  # undocumented
        raise CheckpointError(
            f"it has an instruction that weights do not need ({known.name if known else code})"
        )


def _build(unpickler: Any) -> None:
    state = unpickler.stack.pop()
    target = unpickler.stack[-1]
    if isinstance(target, Arguments):
        target.values = state
    elif not isinstance(target, (dict, Ignored)):  # an OrderedDict's _metadata says nothing about weights
        raise CheckpointError(f"it sets attributes of a {type(target).__name__}")


def _set_item(unpickler: Any) -> None:
    value, key = unpickler.stack.pop(), unpickler.stack.pop()
    _put(unpickler.stack[-1], [key, value])


def _set_items(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    _put(unpickler.stack[-1], items)


def _dict(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    unpickler.append({})
    _put(unpickler.stack[-1], items)


def _put(target: Any, items: list[Any]) -> None:
    """Keys and values in turn. Keys are strings or numbers: to hash nested tuples could take for ever."""
    if not isinstance(target, dict):
        raise CheckpointError(f"it sets items of a {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, (str, int, float, bytes, Ignored, type(None))):
            raise CheckpointError(f"a dictionary has a {type(key).__name__} as a key")
        target[key] = value


def _reduce(unpickler: Any) -> None:
    arguments = unpickler.stack.pop()
    if not isinstance(arguments, tuple) or len(arguments) > MAX_AXES:
        raise CheckpointError("it calls with more than weights need")
    unpickler.stack[-1] = unpickler.stack[-1](*arguments)


def _new_object(unpickler: Any) -> None:
    unpickler.stack.pop()  # its arguments: a Namespace has none
    cls = unpickler.stack.pop()
    if not (isinstance(cls, type) and issubclass(cls, Arguments)) and cls is not _make_dict:
        raise CheckpointError("it makes an object that is no Namespace")
    unpickler.append({} if cls is _make_dict else cls())


def _make_dict() -> dict:
    return {}


def _make_size(sizes: Any = ()) -> tuple:
    return tuple(_checked(sizes))


def _ignore(*_: Any) -> Ignored:
    return Ignored()


def _rebuild_parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


def _rebuild_tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    if math.prod(_checked(size)) > len(storage):
        raise CheckpointError(f"a tensor takes more than its storage of {len(storage)} numbers holds")
    return torch.as_strided(storage, size, _checked(stride), offset)  # checks that it stays inside


def _checked(sizes: Any) -> tuple[int, ...] | list[int]:
    if not isinstance(sizes, (tuple, list)) or len(sizes) > MAX_AXES:
        raise CheckpointError(f"a tensor's shape has no list of at most {MAX_AXES} sizes")
    if not all(isinstance(size, int) and 0 <= size < 2**48 for size in sizes):
        raise CheckpointError("a tensor's shape has sizes that are no such numbers")
    return sizes
