"""Memory that runs out, and memory that goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import re
from pathlib import Path

import torch

__all__ = ["available_memory", "is_out_of_memory", "return_freed_memory"]

# CUDA, MPS; the CPU; DirectML; engines of other libraries.
_SHORTAGE = re.compile(
    r"out of memory|can't allocate memory|not enough (GPU video )?memory|Failed to allocate memory|bad.alloc",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA has a class of its own; other devices, and CUDA's late reports, only say so."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _SHORTAGE.search(str(error)) is not None


def available_memory() -> int | None:
    """Bytes of the machine's memory that programs may still take; None where the system doesn't say (Linux
    does).
    """
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return None


def return_freed_memory() -> None:
    """Give what the file and the unfolded network took back to the system: glibc would keep most of it."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # Other C libraries have no such call.
        ctypes.CDLL(None).malloc_trim(0)
