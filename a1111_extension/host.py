"""What the host decides for one run: device, dtype, memory, progress, interrupts."""
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from modules import devices, shared
from torch import Tensor

from gpen_nodes import DTYPES

__all__ = ["SDNEXT", "Stopped", "WebuiHost"]

SDNEXT = importlib.util.find_spec("modules.face_restoration") is None
"""Whether the host is SD.Next, which has no face restorers."""

# Forge's and reForge's memory managers.
MANAGERS = ("backend.memory_management", "ldm_patched.modules.model_management")
# Flags of A1111, then of Forge and reForge, by which a user says that the device's memory is short.
FRUGAL = ("lowvram", "medvram", "always_low_vram", "always_no_vram", "always_offload_from_vram")


class Stopped(Exception):
    """The user pressed Interrupt or Skip."""


class WebuiHost:
    """The core's host, for one image.

    Attributes:
        device: what the host gives to ``gpen``, or the CPU with ``--use-cpu gpen``.
        dtype: the host's, or ``auto`` on a CPU, for which a host names half precision and means its GPU.
    """

    def __init__(self) -> None:
        self._device = _choose_device()
        wanted = next((name for name, dtype in DTYPES.items() if dtype == devices.dtype), "auto")
        self.dtype = wanted if wanted == "fp32" or self._device.type != "cpu" else "auto"
        state = shared.state
        self._before = state.sampling_step, state.sampling_steps, state.textinfo

    @property
    def device(self) -> torch.device:
        return self._device

    @contextmanager
    def resident(self, module: torch.nn.Module | None, memory_required: int) -> Iterator[None]:
        """Afterwards the network stays on the device, unless the host wants the memory back."""
        weights = [] if module is None else module.state_dict().values()
        if self._device.type != "cpu":
            _make_room(sum(t.numel() * t.element_size() for t in weights) + memory_required, self._device)
        try:
            if module is not None:
                module.to(self._device)
            yield
        finally:
            if module is not None and _is_frugal():
                module.to("cpu")
                devices.torch_gc()

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        shared.state.sampling_step, shared.state.sampling_steps = done, total
        shared.state.textinfo = f"GPEN: face {done} of {total}"

    def stage(self, name: str, done: int, total: int) -> None:
        """Told of what goes on beside restoring faces, such as detecting them."""
        shared.state.textinfo = f"GPEN: {name[:1].lower()}{name[1:]}"

    def check_interrupt(self) -> None:
        if shared.state.interrupted or shared.state.skipped:
            raise Stopped("Interrupted; the picture is unchanged.")

    def finish(self) -> None:
        """Give back the host's progress, which the run took."""
        state = shared.state
        state.sampling_step, state.sampling_steps, state.textinfo = self._before


def _is_frugal() -> bool:
    """Whether a network shall leave the device when it has run."""
    flags = any(getattr(shared.cmd_opts, flag, False) for flag in FRUGAL)
    return flags or bool(shared.opts.data.get("face_restoration_unload"))


def _choose_device() -> torch.device:
    # Forge and reForge take this flag and don't look at it.
    if "gpen" in (getattr(shared.cmd_opts, "use_cpu", None) or ()):
        return torch.device("cpu")
    return devices.get_device_for("gpen") if hasattr(devices, "get_device_for") else devices.device  # SD.Next


def _make_room(memory_required: int, device: torch.device) -> None:
    """Let the host move its own models away."""
    manager: Any = next((sys.modules[name] for name in MANAGERS if name in sys.modules), None)
    if manager is not None:
        manager.free_memory(memory_required, device)
    elif "modules.lowvram" in sys.modules:
        sys.modules["modules.lowvram"].send_everything_to_cpu()  # nothing unless --lowvram or --medvram is on
