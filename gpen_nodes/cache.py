"""One resident model per file and dtype, however many places ask for it."""

from __future__ import annotations

import threading
from pathlib import Path

from .errors import CheckpointError
from .restorer import Restorer

__all__ = ["forget_restorers", "get_restorer"]

_lock = threading.Lock()
_restorers: dict[tuple[Path, str], tuple[tuple[int, int], Restorer]] = {}


def get_restorer(path: str | Path, dtype: str = "fp32") -> Restorer:
    """The restorer of a checkpoint file, read once and again only when the file has changed.

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
    with _lock:
        known = _restorers.get((path, dtype))
        if known is None or known[0] != stamp:
            known = _restorers[path, dtype] = (stamp, Restorer.from_file(str(path), dtype))
        return known[1]


def forget_restorers() -> None:
    """Let go of all models; those in use live on until their users are done."""
    with _lock:
        _restorers.clear()
