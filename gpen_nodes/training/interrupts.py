"""Ctrl-C that waits until a step that must not be interrupted is complete."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["interrupts_wait"]


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Delay Ctrl-C until the block has ended: a run cannot go on from half updated weights."""
    if threading.current_thread() is not threading.main_thread() or not signal.getsignal(signal.SIGINT):
        yield  # Python handles signals in the main thread only.
        return
    came: list[Any] = []
    before = signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)
