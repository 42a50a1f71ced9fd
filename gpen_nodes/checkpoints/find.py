"""Where in a file's dictionaries the weights lie.

Training programs wrap them: in dictionaries (``{"g": …, "g_ema": …}``) and in prefixes of names
(``module.``, ``_orig_mod.``, ``generator.``). Both are the same to this search: a GPEN within is found
whatever it is wrapped in. Where there are several, the running average goes before the latest state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..errors import CheckpointError
from .plain import plain_values
from .unpickle import Arguments

__all__ = ["Found", "find_weights"]

MAX_DEPTH = 8
MAX_NODES = 1000
PARTS = ("encoder", "mapper", "generator")
# The running average before the latest state, then what holds either.
WRAPPERS = ("g_ema", "params_ema", "ema", "model_ema", "ema_model", "netG_ema", "params", "state_dict")
WRAPPERS += ("model", "netG", "generator", "g", "weights", "net")
PREFIXES = ("module.", "_orig_mod.", "g_ema.", "ema.", "model.", "netG.", "generator.", "g.", "net.")


class Found(NamedTuple):
    """Tensors by name, the values of ``args`` around them, and whether they were in the bundle's parts."""

    tensors: dict[str, Tensor]
    args: dict[str, Any]
    is_bundle: bool = False
    keys: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """Place in `WRAPPERS` of the best of the keys above; lower is better."""
        return min((WRAPPERS.index(key) for key in self.keys if key in WRAPPERS), default=len(WRAPPERS))


def find_weights(tree: Any, path: Path) -> Found:
    """The GPEN within; else, for discriminators and other networks, the best known key's tensors.

    Raises:
        CheckpointError: no tensors, several GPENs that no name tells apart, or args that are not plain.
    """
    found = list(_walk(tree, path)) if isinstance(tree, Mapping) else []
    if wanted := [each for each in found if _is_gpen(each.tensors)]:
        return _best(wanted, path)
    if not found:
        raise CheckpointError(f"{path} holds {_summarise(tree)}; expected the tensors of a GPEN.")
    return min(found, key=lambda each: (each.rank, len(each.keys)))


def _best(found: list[Found], path: Path) -> Found:
    best = min(each.rank for each in found)
    first, *others = [each for each in found if each.rank == best]
    if others:
        names = ", ".join(".".join(each.keys) or "the whole" for each in (first, *others[:3]))
        raise CheckpointError(
            f"{path} holds more than one GPEN, and nothing tells which to take: {names}. Save one alone."
        )
    return first


def _is_gpen(tensors: Mapping[str, Tensor]) -> bool:
    has_encoder = any(name.startswith(("ecd", "encoder.")) for name in tensors)
    return "generator.input.input" in tensors and has_encoder


def _walk(tree: Mapping, path: Path) -> Iterator[Found]:
    """Every dictionary of tensors, the nearest to the root first; each object once."""
    queue: list[tuple[Mapping, tuple[str, ...], dict[str, Any]]] = [(tree, (), {})]
    seen = {id(tree)}
    for node, keys, args in queue:
        args = {**args, **_args(node, path)}
        if found := _bundle(node):
            yield Found(found, args, True, keys)
            continue
        tensors = _strip({k: v for k, v in node.items() if isinstance(k, str) and isinstance(v, Tensor)})
        if tensors:
            yield Found(tensors, args, False, keys)
        inside = [(key, node[key]) for key in node if isinstance(key, str) and isinstance(node[key], Mapping)]
        if not _is_gpen(tensors):
            inside += _by_prefix(tensors)
        for key, child in inside:
            if id(child) in seen or len(keys) >= MAX_DEPTH or key == "args":
                continue
            if len(seen) >= MAX_NODES:
                raise CheckpointError(f"{path} holds more than {MAX_NODES} dictionaries; expected weights.")
            seen.add(id(child))
            queue.append((child, (*keys, key), args))


def _bundle(node: Mapping) -> dict[str, Tensor]:
    """The tensors of the documented bundle under their full names; empty if ``node`` is no bundle."""
    if not all(isinstance(node.get(part), Mapping) for part in PARTS):
        return {}
    return {
        f"{part}.{name}": tensor
        for part in PARTS
        for name, tensor in _strip(
            {k: v for k, v in node[part].items() if isinstance(k, str) and isinstance(v, Tensor)}
        ).items()
    }


def _strip(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what DataParallel and ``torch.compile`` set before every name."""
    for prefix in ("module.", "_orig_mod."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _strip({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
    return tensors


def _by_prefix(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Tensors that share a wrapper's prefix, where they may be a GPEN."""
    for prefix in PREFIXES:
        part = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        if any(name.endswith("generator.input.input") for name in part):
            yield prefix[:-1], part


def _args(node: Mapping, path: Path) -> dict[str, Any]:
    args = node.get("args")
    args = args.values if isinstance(args, Arguments) else args
    return {} if args is None else plain_values(args, path)


def _summarise(tree: Any) -> str:
    if not isinstance(tree, Mapping):
        return f"a {type(tree).__name__}"
    names = [key[:60] if isinstance(key, str) else type(key).__name__ for key in list(tree)[:4]]
    return f"a dictionary of {', '.join(names) or 'nothing'}"
