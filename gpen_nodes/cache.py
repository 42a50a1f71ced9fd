"""One resident model per file, dtype and use of CUDA graphs, however many places ask for it."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import torch

from .errors import CheckpointError
from .host import LocalHost
from .restorer import Restorer

__all__ = ["forget_restorers", "get_restorer"]

Kind = tuple[Path, bool]  # the file, and whether with CUDA graphs
_lock = threading.Lock()
_restorers: dict[tuple[Kind, str], tuple[tuple[int, int], Restorer]] = {}
_chosen: dict[tuple[Path, tuple[int, int], torch.device], str] = {}


def get_restorer(
    path: str | Path,
    dtype: str = "auto",
    device: torch.device | None = None,
    *,
    cuda_graphs: bool = False,
) -> Restorer:
    """The restorer of a checkpoint file, read once and again only when the file has changed.

    Args:
        dtype: ``fp32``, ``bf16``, ``fp16``, or ``auto``, which tries once what ``device`` does best.
        device: where it will run, if ``dtype`` is ``auto``; None is what ``LocalHost`` takes.
        cuda_graphs: as ``Restorer`` takes it.

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
    stamp = (stat.st_mtime_ns, stat.st_size)
    kind, load = (path, cuda_graphs), partial(Restorer.from_file, str(path), cuda_graphs=cuda_graphs)
    with _lock:
        if dtype != "auto":
            return _resident(kind, stamp, dtype) or _keep(kind, stamp, load(dtype))
        trial = (path, stamp, device or LocalHost().device)
        if trial in _chosen and (known := _resident(kind, stamp, _chosen[trial])):
            return known
        made = load(dtype, trial[2])
        _chosen[trial] = made.dtype
        return _resident(kind, stamp, made.dtype) or _keep(kind, stamp, made)


def _resident(kind: Kind, stamp: tuple[int, int], dtype: str) -> Restorer | None:
    known = _restorers.get((kind, dtype))
    return known[1] if known is not None and known[0] == stamp else None


def _keep(kind: Kind, stamp: tuple[int, int], restorer: Restorer) -> Restorer:
    _restorers[kind, restorer.dtype] = stamp, restorer
    return restorer


def forget_restorers() -> None:
    """Let go of all models; those in use live on until their users are done."""
    with _lock:
        _restorers.clear()
        _chosen.clear()
