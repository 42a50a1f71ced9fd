"""What a host tool decides for us: device, memory, progress, cancellation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .errors import OptionError

__all__ = ["Host", "LocalHost", "as_device", "interrupts_of", "resident", "tell_stage"]


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
    """The few things that the core asks of the program it runs in.

    One that can show more than ``progress`` may also have ``stage(name, done, total)``: see ``tell_stage``.
    """

    @property
    def device(self) -> torch.device:
        """Where networks run."""
        ...

    def resident(self, module: nn.Module | None, memory_required: int) -> AbstractContextManager[None]:
        """Hold a network on ``device`` while the block runs; afterwards the host may move it where it likes.

        Args:
            module: to be put on ``device``; None for an engine that holds its weights itself and only needs
                room.
            memory_required: bytes to make room for, beside the module's own weights.
        """
        ...

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        """Report ``done`` of ``total`` faces; ``preview`` is the latest one, [H, W, 3] in [0, 1]."""
        ...

    def check_interrupt(self) -> None:
        """Raise the host's own exception if the user asked to stop. Called many times a face."""
        ...


def interrupts_of(host: Host | None) -> Callable[[], object]:
    """The host's check for interrupts; without a host one that does nothing."""
    return (lambda: None) if host is None else host.check_interrupt


def tell_stage(host: Host | None, name: str, done: int, total: int) -> None:
    """Tell a host that wants to know what goes on beside restoring faces, such as "Detecting faces".

    Args:
        done, total: images, faces or trials; the first call of a stage has ``done`` 0.
    """
    if host is not None:
        host.check_interrupt()
        stage = getattr(host, "stage", None)
        if stage is not None:
            stage(name, done, total)


@contextmanager
def resident(host: Host, module: nn.Module | None, memory_required: int) -> Iterator[None]:
    """``host.resident``; a host of the older protocol, with ``place`` alone, works as it did.

    Raises:
        OptionError: the host has neither.
    """
    if hasattr(host, "resident"):
        with host.resident(module, memory_required):
            yield
        return
    place: Any = getattr(host, "place", None)
    if place is None:
        raise OptionError(
            f"The host {type(host).__name__} has no method resident(module, memory_required); "
            "see gpen_nodes.Host for what it must do."
        )
    if module is not None:
        place(module, memory_required)
    yield


class LocalHost:
    """The host when there is none: one fixed device, Ctrl-C to stop.

    Args:
        device: a device, or any name that torch knows; None takes CUDA, then XPU, MPS, the CPU.
        on_progress: called with (done, total) after each face.
    """

    def __init__(
        self,
        device: str | torch.device | None = None,
        on_progress: Callable[[int, int], Any] | None = None,
    ) -> None:
        self._device = as_device(device or _best_device())
        self._on_progress = on_progress

    @property
    def device(self) -> torch.device:
        return self._device

    def place(self, module: nn.Module, memory_required: int) -> None:
        """Put a network on the device; it stays there."""
        module.to(self._device)

    @contextmanager
    def resident(self, module: nn.Module | None, memory_required: int) -> Iterator[None]:
        if module is not None:
            self.place(module, memory_required)
        yield

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        if self._on_progress is not None:
            self._on_progress(done, total)

    def check_interrupt(self) -> None:
        pass


def _best_device() -> str:
    """ROCm's GPUs are CUDA to torch. DirectML's device has to be named."""
    if torch.cuda.is_available():
        return "cuda"
    if hasattr(torch, "xpu") and torch.xpu.is_available():  # since torch 2.3
        return "xpu"
    return "mps" if torch.backends.mps.is_available() else "cpu"
