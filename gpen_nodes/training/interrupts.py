"""Ctrl-C that waits until what must not be done by halves is done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["interrupts_wait"]


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back until the block is through: half updated weights are no state to go on from."""
    if threading.current_thread() is not threading.main_thread() or not signal.getsignal(signal.SIGINT):
        yield  # Signals reach the main thread alone, and Python only where it handles them.
        return
    came: list[Any] = []
    before = signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)
