"""The caller's torch settings, kept out of our own arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

__all__ = ["own_arithmetic"]


@contextmanager
def own_arithmetic(device: torch.device) -> Iterator[None]:
    """No gradients and no autocast on ``device``: dtypes are the ones that we chose, whatever the host set.

    Both settings belong to the thread and are put back at the end. Default dtype and default device have no
    such switch for one thread; against those, every tensor of ours says what it is.
    """
    try:
        without_autocast = torch.autocast(device.type, enabled=False)
    except RuntimeError:  # A device that knows no autocast.
        without_autocast = nullcontext()
    with torch.no_grad(), without_autocast:
        yield
