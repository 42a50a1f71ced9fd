"""Backends: the engines that can run a network, by name.

A new one is a file with a class that follows ``Backend``, and an entry in ``BACKENDS``. What it needs beyond
torch it imports when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..checkpoints import OnnxProgram
from ..errors import OptionError
from ..host import Host, resident
from ..model import Gpen
from .folded import FoldedBackend, GraphBackend
from .onnxruntime_backend import PROVIDERS, OnnxRuntimeBackend
from .openvino_backend import OpenVinoBackend

__all__ = ["BACKENDS", "Backend", "choose_backend", "make_backend", "placed", "runs_programs"]


class Backend(Protocol):
    """A network as one engine runs it: a module of torch, or a session of another library."""

    @property
    def module(self) -> nn.Module | None:
        """What the host moves between devices; None for an engine that holds its weights itself."""
        ...

    @property
    def weight_bytes(self) -> int:
        """Memory that the weights take."""
        ...

    @property
    def activation_bytes(self) -> int:
        """Memory that one face needs beside the weights, as an upper bound."""
        ...

    def place(self, device: torch.device) -> None:
        """Be ready to run on ``device``, where the host has made room and put ``module``.

        Called before every run: a session is built for a device at the first call, a module does nothing.
        """
        ...

    def batch_size(self, device: torch.device) -> int:
        """Faces to run together on a device, at most."""
        ...

    def run(self, image: Tensor, check: Callable[[], None]) -> Tensor:
        """Restore aligned faces.

        Args:
            image: [B, 3, input_size, input_size] float32 in [-1, 1], on the device.
            check: called as often as the engine allows, once at least; what it raises stops the run.

        Returns:
            [B, 3, size, size] float32, not clamped, on the same device.
        """
        ...


BACKENDS: dict[str, Callable[[Any, torch.dtype, Callable[[], None]], Backend]] = {
    "folded": FoldedBackend,
    "cuda_graphs": GraphBackend,
    "openvino": OpenVinoBackend,
    "openvino-gpu": partial(OpenVinoBackend, target="GPU"),
    "onnxruntime": OnnxRuntimeBackend,
    **{f"onnxruntime-{name}": partial(OnnxRuntimeBackend, provider=name) for name in PROVIDERS},
}
"""Name to what makes a backend of a network, which it does not change, the dtype to compute in, and a check
for interrupts while it is made.

Those of ONNX, ``runs_programs``, take an ``OnnxProgram`` as well.
"""


def runs_programs(name: str) -> bool:
    """Whether a backend can run an ONNX graph as it is."""
    return name.startswith(("openvino", "onnxruntime"))


def make_backend(
    name: str, network: Gpen | OnnxProgram, dtype: torch.dtype, check: Callable[[], None] = lambda: None
) -> Backend:
    """A network as the backend of that name runs it.

    Args:
        check: called on the way; what it raises ends it.

    Raises:
        OptionError: there is none of that name, or it cannot compute in that dtype.
        MissingWeightsError: its package is not installed.
    """
    if name not in BACKENDS:
        raise OptionError(f"Unknown backend {name!r}; expected one of {', '.join(BACKENDS)}.")
    return BACKENDS[name](network, dtype, check)


def choose_backend(name: str, cuda_graphs: bool) -> str:
    """The backend that two arguments of the public interface ask for: ``cuda_graphs`` was there before the
    table.
    """
    return "cuda_graphs" if cuda_graphs else name


@contextmanager
def placed(backend: Backend, host: Host, faces: int) -> Iterator[None]:
    """Hold a backend on the host's device, with room for so many faces at once, while the block runs."""
    memory = faces * backend.activation_bytes
    if backend.module is None:
        memory += backend.weight_bytes
    with resident(host, backend.module, memory):
        backend.place(host.device)
        yield
