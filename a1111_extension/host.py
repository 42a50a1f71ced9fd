"""What the host decides for one run: device, dtype, memory, progress, interrupts."""
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
from typing import Any

import torch
from modules import devices, shared
from torch import Tensor

__all__ = ["Stopped", "WebuiHost"]

DTYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
# Forge's and reForge's memory managers.
MANAGERS = ("backend.memory_management", "ldm_patched.modules.model_management")
# Flags of A1111, then of Forge and reForge, by which a user says that the device's memory is short.
FRUGAL = ("lowvram", "medvram", "always_low_vram", "always_no_vram", "always_offload_from_vram")


class Stopped(Exception):
    """The user pressed Interrupt or Skip."""


class WebuiHost:
    """The core's host, for one picture.

    Attributes:
        device: what the host gives to ``gpen``, or the CPU with ``--use-cpu gpen``.
        dtype: the host's, or ``auto`` on a CPU, for which a host names half precision and means its GPU.
    """

    def __init__(self) -> None:
        self._device = _choose_device()
        wanted = DTYPES.get(devices.dtype, "auto")
        self.dtype = wanted if wanted == "fp32" or self._device.type != "cpu" else "auto"
        state = shared.state
        self._before = state.sampling_step, state.sampling_steps, state.textinfo

    @property
    def device(self) -> torch.device:
        return self._device

    def place(self, module: torch.nn.Module, memory_required: int) -> None:
        if self._device.type != "cpu":
            weights = sum(t.numel() * t.element_size() for t in module.state_dict().values())
            _make_room(weights + memory_required, self._device)
        module.to(self._device)

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        shared.state.sampling_step, shared.state.sampling_steps = done, total
        shared.state.textinfo = f"GPEN: face {done} of {total}"

    def check_interrupt(self) -> None:
        if shared.state.interrupted or shared.state.skipped:
            raise Stopped("Interrupted; the picture is unchanged.")

    def release(self, module: torch.nn.Module) -> None:
        """Give back what the run took: progress, and the device's memory where the host wants it."""
        state = shared.state
        state.sampling_step, state.sampling_steps, state.textinfo = self._before
        frugal = any(getattr(shared.cmd_opts, flag, False) for flag in FRUGAL)
        if shared.opts.data.get("face_restoration_unload") or frugal:
            module.to("cpu")
            devices.torch_gc()


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
