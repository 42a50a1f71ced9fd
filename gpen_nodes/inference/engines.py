"""Which engine runs a network, where the user leaves that open: the one place that decides."""

from __future__ import annotations

import gc
import importlib.util
import logging
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints import OnnxProgram
from ..errors import GpenError
from ..host import Host, tell_stage
from ..model import Gpen
from ..torch_state import own_arithmetic
from .backends import make_backend, placed
from .dtypes import DTYPES
from .memory import available_memory
from .precision import CLOSE_ENOUGH, choose_dtype, fixed_picture, restored
from .verdicts import known_engine, remember_engine

__all__ = ["AUTO", "choose_engine", "keep_engine", "recall_engine"]

AUTO = "auto"
QUICKER = 0.9  # of the folded network's time; less than that is not worth twice its memory
RUNS = 3  # of which the quickest counts
log = logging.getLogger(__name__)


def choose_engine(network: Gpen | OnnxProgram, host: Host, dtype: str) -> str | None:
    """``openvino`` where it is worth its memory, else ``folded``.

    On a CPU, where its package is installed: if the memory is there, it restores one fixed picture in at most
    0.9 of the folded network's time, and gives nearly the picture that the folded network gives in fp32.
    The figures go to the log.

    Args:
        dtype: one of ``DTYPES``; ``auto`` tries each engine in the dtype that is best for it.

    Returns:
        None where the trial could not be made.
    """
    if isinstance(network, OnnxProgram) or not _candidates(host.device):
        return "folded"
    try:
        return _quicker(network, host, dtype)
    except (RuntimeError, GpenError) as error:
        log.info("GPEN stays with its own engine on %s, openvino untried: %s", host.device, error)
        return None
    finally:
        gc.collect()


def recall_engine(path: Path, device: torch.device, dtype: str) -> str | None:
    """What ``choose_engine`` would give for a checkpoint's network, where that is known without a trial."""
    return known_engine(path, device, _setting(dtype)) if _candidates(device) else "folded"


def keep_engine(path: Path, device: torch.device, dtype: str, engine: str) -> None:
    """Remember what a trial chose."""
    remember_engine(path, device, _setting(dtype), engine)


def _setting(dtype: str) -> str:
    """What a trial's outcome depends on beside file, device and torch."""
    try:
        found = version("openvino")
    except PackageNotFoundError:
        found = "unknown"
    return f"{dtype} {found} {torch.get_num_threads()}"


def _candidates(device: torch.device) -> list[str]:
    installed = device.type == "cpu" and importlib.util.find_spec("openvino") is not None
    return ["openvino"] if installed else []


def _quicker(network: Gpen, host: Host, dtype: str) -> str:
    exact = restored(network, "fp32", host, "folded")
    tell_stage(host, "Trying which engine is quicker", 0, 2)
    own, _ = _timed(network, host, dtype, "folded")
    tell_stage(host, "Trying which engine is quicker", 1, 2)
    seconds, picture = _timed(network, host, dtype, "openvino")
    decibels = 10 * torch.log10(4 / (picture - exact).square().mean()).item()
    log.info(
        "GPEN on %s: openvino takes %.3f s, folded %.3f s; %.1f dB from fp32, %g are needed",
        *(host.device, seconds, own, decibels, CLOSE_ENOUGH),
    )
    # NaN is not close.
    return "openvino" if seconds <= QUICKER * own and decibels >= CLOSE_ENOUGH else "folded"


def _timed(network: Gpen, host: Host, dtype: str, engine: str) -> tuple[float, Tensor]:
    """Seconds of the quickest run, and the picture.

    Raises:
        RuntimeError: too little memory for the engine.
    """
    name = choose_dtype(network, host, engine) or "fp32" if dtype == "auto" else dtype
    made = make_backend(engine, network, DTYPES[name], host.check_interrupt)
    needed, left = made.weight_bytes + made.activation_bytes, available_memory()
    if left is not None and needed > left:
        raise RuntimeError(f"{engine} would take {needed >> 20} MB of memory, and {left >> 20} MB are left")
    picture, times = fixed_picture(network.config.input_size).to(host.device), []
    with own_arithmetic(host.device), placed(made, host, 1):
        output = made.run(picture, host.check_interrupt)  # which also warms caches
        for _ in range(RUNS):
            began = time.perf_counter()
            made.run(picture, host.check_interrupt)
            times.append(time.perf_counter() - began)
    return min(times), output.clamp(-1, 1)
