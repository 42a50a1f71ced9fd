"""What trials of dtypes and engines found, remembered between processes in the user's cache folder.

A verdict holds for one file's bytes, device, torch, and backend or other setting: each has a small file of
its own. Where the folder cannot be read or written, nothing is remembered, and the trial is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
from collections.abc import Container
from pathlib import Path

import torch

from ..atomic import replacing
from ..weight_files import sha256
from .dtypes import DTYPES
from .hardware import has_amx

__all__ = ["known_dtype", "known_engine", "remember_dtype", "remember_engine", "user_cache_folder"]

_METHOD = "1"  # to be raised when the trial, or a backend's arithmetic, changes


def known_dtype(path: Path, device: torch.device, backend: str) -> str | None:
    """The dtype that an earlier trial chose; None if there was none."""
    return _known(path, device, backend, DTYPES)


def remember_dtype(path: Path, device: torch.device, backend: str, dtype: str) -> None:
    """Keep a trial's choice."""
    _remember(path, device, backend, dtype)


def known_engine(path: Path, device: torch.device, setting: str) -> str | None:
    """The engine that an earlier trial chose under the same setting; None if there was none."""
    return _known(path, device, f"engine {setting}", ("folded", "openvino"))


def remember_engine(path: Path, device: torch.device, setting: str, engine: str) -> None:
    """Keep a trial's choice."""
    _remember(path, device, f"engine {setting}", engine)


def _known(path: Path, device: torch.device, setting: str, valid: Container[str]) -> str | None:
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        name = _place(path, device, setting).read_text(encoding="utf-8")
        return name if name in valid else None
    return None


def _remember(path: Path, device: torch.device, setting: str, choice: str) -> None:
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        place = _place(path, device, setting)
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as temporary:
            temporary.write_text(choice, encoding="utf-8")


def _place(path: Path, device: torch.device, setting: str) -> Path:
    facts = (_METHOD, sha256(path), _described(device), torch.__version__, setting)
    return user_cache_folder() / "dtypes" / hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _described(device: torch.device) -> str:
    """What computes: its kind, not its number."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)} {torch.version.cuda} {torch.version.hip}"
    if device.type == "cpu":
        return f"cpu {platform.machine()} {torch.backends.cpu.get_cpu_capability()} {has_amx()}"
    return device.type


def user_cache_folder() -> Path:
    """``gpen-nodes`` where the system keeps what may be deleted at any time."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gpen-nodes"
