"""What engines of other libraries have in common: an ONNX graph, and no module of torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoints import OnnxProgram
from ..errors import MissingWeightsError, OptionError
from ..model import Gpen
from .memory import is_out_of_memory

__all__ = ["SessionBackend", "required"]

POLL = 0.05  # seconds between two looks at whether the user wants to stop


def required(module: str, package: str, extra: str) -> Any:
    """A module of an optional package.

    Raises:
        MissingWeightsError: it is not installed; says how to.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingWeightsError(
            f"The backend {package} needs the package of that name ({error}): `pip install {package}`, or "
            f"`pip install gpen-nodes[{extra}]`."
        ) from error


class SessionBackend:
    """A session of another library; see ``inference.backends.Backend``. One face at a time.

    Engines have to say how they build a session, and how they run it.

    Args:
        network: weights, or a program that is run as it is.
        dtype: to compute in; a program's own precision is not changed.
        check: called once, before the graph is written.
    """

    module = None
    maps = 1.0  # memory of the feature maps that the engine holds, in multiples of all of them

    def __init__(
        self, network: Gpen | OnnxProgram, dtype: torch.dtype, check: Callable[[], None] = lambda: None
    ) -> None:
        check()
        self.config, self.dtype = network.config, dtype
        self._model: bytes | Path
        if isinstance(network, OnnxProgram):
            self._model, size = network.path, network.path.stat().st_size
        else:
            self._model = self.write(network)
            size = len(self._model)
        self.weight_bytes = 2 * size  # kept for another device, or read whole
        self._session: Any = None
        self._device: torch.device | None = None

    @property
    def half(self) -> bool:
        """Whether the graph itself has to be in 16 bits."""
        return False

    def write(self, network: Gpen) -> bytes:
        """The graph that the engine runs, as ONNX."""
        from ..checkpoints.onnx.write import write_onnx  # few processes need it

        return write_onnx(network, half=self.half)

    @property
    def activation_bytes(self) -> int:
        return self.config.working_bytes(self.maps)

    def place(self, device: torch.device) -> None:
        """Build the session, which takes seconds, unless there is one for this device.

        Raises:
            OptionError: the engine is not here for this device, or cannot compute in this dtype.
        """
        if self._device != device:
            self._session, self._device = None, None
            self._session, self._device = self.build(device), device

    def batch_size(self, device: torch.device) -> int:
        return 1

    def run(self, image: Tensor, check: Callable[[], None]) -> Tensor:
        """Restore one face; ``check`` is called twenty times a second."""
        check()
        output = self.infer(image.detach().cpu().numpy(), check)
        if output.shape != (1, 3, self.config.size, self.config.size):
            raise OptionError(f"{self._model} gave {output.shape}; expected a picture. Choose another model.")
        return torch.from_numpy(output.astype(np.float32, copy=False)).to(image.device)

    def build(self, device: torch.device) -> Any:
        raise NotImplementedError

    def infer(self, faces: np.ndarray, check: Callable[[], None]) -> np.ndarray:
        """[1, 3, S, S] float32 to the same of the output's size, in an array of its own."""
        raise NotImplementedError

    def refused(self, error: Exception, engine: str) -> Exception:
        """What an engine's own error means here: each library has its own kinds, with one base or none."""
        if is_out_of_memory(RuntimeError(str(error))):
            return RuntimeError(f"out of memory: {error}")
        lines = str(error).strip().splitlines() or [type(error).__name__]
        what = self._model if isinstance(self._model, Path) else "this model"
        return OptionError(f"{engine} cannot run {what} here: {lines[0]} Choose another backend.")
