"""What a host tool decides for us: device, dtype, progress, cancellation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from .errors import OptionError

__all__ = ["Host", "LocalHost", "as_device"]


def as_device(device: torch.device | str) -> torch.device:
    """A device by torch's name for it, such as ``cpu`` or ``cuda:1``.

    Raises:
        OptionError: torch knows none of that name.
    """
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise OptionError(f"device is {device!r}; expected a name such as cpu, cuda:1 or mps.") from error


class Host(Protocol):
    """The few things that the core asks of the program it runs in."""

    @property
    def device(self) -> torch.device:
        """Where networks run."""
        ...

    def place(self, module: torch.nn.Module, memory_required: int) -> None:
        """Make room for ``memory_required`` bytes of activations and put ``module`` on ``device``."""
        ...

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        """Report ``done`` of ``total`` faces; ``preview`` is the latest one, [H, W, 3] in [0, 1]."""
        ...

    def check_interrupt(self) -> None:
        """Raise the host's own exception if the user asked to stop. Called many times a face."""
        ...


class LocalHost:
    """The host when there is none: one fixed device, Ctrl-C to stop.

    Args:
        device: a device, or any name that torch knows; None takes CUDA, then MPS, then the CPU.
        on_progress: called with (done, total) after each face.
    """

    def __init__(
        self, device: torch.device | str | None = None, on_progress: Callable[[int, int], Any] | None = None
    ) -> None:
        self._device = as_device(device or _best_device())
        self._on_progress = on_progress

    @property
    def device(self) -> torch.device:
        return self._device

    def place(self, module: torch.nn.Module, memory_required: int) -> None:
        module.to(self._device)

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        if self._on_progress is not None:
            self._on_progress(done, total)

    def check_interrupt(self) -> None:
        pass


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
