"""One model in memory per file, dtype, backend and task, however many places ask for it."""

from __future__ import annotations

import threading
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from ..errors import CheckpointError
from ..host import Host, LocalHost
from .backends import choose_backend
from .restorer import Restorer

__all__ = ["forget_restorers", "get_restorer"]

Stamp = tuple[int, int]  # when a file was last written, and its bytes
_lock = threading.Lock()
_used: WeakValueDictionary[tuple[Path, Stamp, str, str, str | None], Restorer] = WeakValueDictionary()
_kept: dict[tuple[Path, str, str, str | None], Restorer] = {}
_chosen: dict[tuple[Path, Stamp, torch.device, str], str] = {}


def get_restorer(
    path: str | Path,
    dtype: str = "auto",
    device: torch.device | str | None = None,
    *,
    backend: str = "folded",
    cuda_graphs: bool = False,
    task: str | None = None,
    keep: bool = True,
    host: Host | None = None,
) -> Restorer:
    """The restorer of a checkpoint file, read once and again only when the file has changed.

    Args:
        dtype: ``fp32``, ``bf16``, ``fp16``, or ``auto``, which tries once what ``device`` does best and
            remembers it, in the user's cache folder as well.
        device: where it will run, if ``dtype`` is ``auto``; None is what ``LocalHost`` takes.
        backend, cuda_graphs, task, host: as ``Restorer`` takes them.
        keep: hold it until ``forget_restorers``; otherwise it goes when nobody uses it any more.

    Raises:
        CheckpointError: the file is missing, damaged or no GPEN.
    """
    path = Path(path).resolve()
    try:
        stat = path.stat()
    except OSError as error:
        raise CheckpointError(
            f"No checkpoint at {path}: {error.strerror}. Check the path; docs/checkpoints.md says where "
            "weights come from."
        ) from error
    stamp, backend = (stat.st_mtime_ns, stat.st_size), choose_backend(backend, cuda_graphs)
    host = host or LocalHost(device)
    with _lock:
        trial = None
        if dtype == "auto":
            trial = path, stamp, host.device, backend
            dtype = _chosen.get(trial, dtype)
        restorer = _used.get((path, stamp, dtype, backend, task))
        if restorer is None:
            restorer = Restorer.from_file(str(path), dtype, backend=backend, task=task, host=host)
            if trial is not None and restorer.tried:
                _chosen[trial] = restorer.dtype
            restorer = _used.setdefault((path, stamp, restorer.dtype, backend, task), restorer)
        if keep:
            _kept[path, restorer.dtype, backend, task] = restorer
        return restorer


def forget_restorers() -> None:
    """Let go of all models; those in use live on until their users are done."""
    with _lock:
        _used.clear()
        _kept.clear()
        _chosen.clear()
