"""Any file of GPEN weights to a `Checkpoint`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import ArchitectureError, CheckpointError
from ..model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig, check_fit
from ..model.names import to_module_names
from .checkpoint import Checkpoint, Layout
from .unpickle import Arguments, unpickle

__all__ = ["read_checkpoint", "read_tensors"]

# Under which name others keep the weights to use: the running average before the latest state.
_WRAPPERS = ("g_ema", "params_ema", "params", "state_dict", "g")
_PARTS = ("encoder", "mapper", "generator")
_PLAIN = (str, int, float, bool, type(None))

_Found = tuple[Layout, dict[str, Tensor], dict[str, Any]]
"""Layout, tensors and arguments."""


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read weights in any layout: flat, wrapped by others, bundle, or safetensors.

    Nothing in the file is run. Its kind is read from its bytes, its network from the tensors' shapes.

    Raises:
        CheckpointError: no such file, or one that is damaged or holds no weights; says what was found.
        UnsafeCheckpointError: the file asks for more than tensors and plain values; names what.
        ArchitectureError: the tensors are no complete GPEN.
    """
    path = Path(path)
    layout, tensors, args = _read(path)
    try:
        state = to_module_names(tensors)
        config = _check_fit(state)
    except ArchitectureError as error:
        raise ArchitectureError(f"{path}: {error}") from error
    except (ArithmeticError, RuntimeError) as error:  # a width of zero, a size beyond all memory
        raise ArchitectureError(f"{path}: its tensors' shapes describe no network ({error}).") from error
    return Checkpoint(state, config, args, layout, path)


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of any such file under the names that it has, whatever network they are of.

    Raises:
        CheckpointError, UnsafeCheckpointError: as ``read_checkpoint``.
    """
    return _read(Path(path))[1]


def _read(path: Path) -> _Found:
    found = _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path)
    for name, tensor in found[1].items():
        if not tensor.is_floating_point():
            raise CheckpointError(f"{path}: {name} is of {tensor.dtype}; expected floating point.")
    return found


def _check_fit(state: Mapping[str, Tensor]) -> GpenConfig | DiscriminatorConfig:
    """The network that the shapes describe, after a check that it takes every tensor and lacks none."""
    with torch.device("meta"):  # the network has shapes, and no memory
        if "final_conv.0.weight" in state and "generator.input.input" not in state:
            network = Discriminator(DiscriminatorConfig.from_state_dict(state))
        else:
            network = Gpen(GpenConfig.from_state_dict(state))
    check_fit(network, state)
    return network.config


def _is_safetensors(path: Path) -> bool:
    """Which of the two kinds of file it is by its first bytes.

    Raises:
        CheckpointError: neither; says what it is instead.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; expected a file of weights.")
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist. Check the path, or download the weights.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    if head[8:9] == b"{":  # after the header's length comes its JSON
        return True
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return False
    what = _name_foreign_file(path, head)
    raise CheckpointError(f"{path} {what} Expected .pth or .safetensors weights of GPEN.")


def _name_foreign_file(path: Path, head: bytes) -> str:
    if not head:
        return "is empty: its download broke off. Get it again."
    if head.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the weights. Run git lfs pull."
    if head.lstrip().startswith(b"<"):
        return "is a web page: the download gave an error or a login. Open the address in a browser."
    if path.suffix.lower() == ".onnx":
        return "is an ONNX export, which holds a finished program. Get the checkpoint that it was made from."
    if head.startswith(b"\x1f\x8b"):
        return "is a compressed archive. Unpack it."
    if head[257:262] == b"ustar":
        return "is a tar archive. Unpack it, or save weights of torch before 0.1.10 again."
    return f"is no file of weights (it starts with {head[:8]!r})."


def _read_safetensors(path: Path) -> _Found:
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            # Copies: a tensor that is mapped to the file would change or crash when the file is replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is damaged: {error}. Its download may have broken off: get it again."
        ) from error
    return "safetensors", _strip_prefix(tensors), _metadata_args(metadata)


def _metadata_args(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Ours are in one JSON string; of others' metadata the two entries that we know are taken."""
    try:
        args = json.loads(metadata.get("args", "{}"))
    except ValueError:
        args = {}
    known = {name: metadata[name] for name in ("version", "license") if name in metadata}
    return {**(args if isinstance(args, dict) else {}), **known}


def _read_pickle(path: Path) -> _Found:
    contents = unpickle(path)
    try:
        if found := _take(contents, path):
            return found
    except RecursionError:
        raise CheckpointError(f"{path} holds a dictionary that holds itself; expected weights.") from None
    raise CheckpointError(f"{path} holds {_summarise(contents)}; expected the tensors of a GPEN.")


def _summarise(contents: Any) -> str:
    if not isinstance(contents, dict):
        return f"a {type(contents).__name__}"
    return f"a dictionary of {', '.join(str(name) for name in list(contents)[:4]) or 'nothing'}"


def _take(contents: Any, path: Path) -> _Found | None:
    if not isinstance(contents, dict):
        return None
    return next((found for take in _LAYOUTS if (found := take(contents, path))), None)


def _take_bundle(contents: dict, path: Path) -> _Found | None:
    if not all(isinstance(contents.get(part), dict) for part in _PARTS):
        return None
    tensors = {
        f"{part}.{name}": tensor
        for part in _PARTS
        for name, tensor in _strip_prefix(_tensors_of(contents[part])).items()
    }
    return "bundle", tensors, _plain_args(contents.get("args"), path)


def _take_wrapped(contents: dict, path: Path) -> _Found | None:
    for name in _WRAPPERS:
        if found := _take(contents.get(name), path):
            layout, tensors, args = found
            return layout, tensors, {**_plain_args(contents.get("args"), path), **args}
    return None


def _take_flat(contents: dict, path: Path) -> _Found | None:
    tensors = _strip_prefix(_tensors_of(contents))
    return ("flat", tensors, {}) if tensors else None


# In the order to try them: a wrapper may have tensors of its own beside the weights.
_LAYOUTS: tuple[Callable[[dict, Path], _Found | None], ...] = (_take_bundle, _take_wrapped, _take_flat)


def _tensors_of(contents: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Counters and the like beside the weights are left out; a tensor that is missing shows later."""
    return {
        name: value for name, value in contents.items() if isinstance(name, str) and isinstance(value, Tensor)
    }


def _strip_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the ``module.`` of weights that were saved from a DataParallel network."""
    if all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _plain_args(args: Any, path: Path) -> dict[str, Any]:
    args = vars(args) if isinstance(args, Arguments) else args
    if args is None:
        return {}
    if not isinstance(args, dict) or not _is_plain(args):
        raise CheckpointError(f"{path}: its args are not plain numbers, strings and lists of them.")
    return dict(args)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(entry) for name, entry in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)
