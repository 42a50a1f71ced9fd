"""Which dtype a network computes in: the one place that decides."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoints import OnnxProgram
from ..errors import OptionError
from ..host import Host, tell_stage
from ..model import Gpen
from ..torch_state import own_arithmetic
from .backends import make_backend, placed
from .dtypes import DTYPES
from .hardware import has_quick_bf16
from .memory import is_out_of_memory
from .verdicts import known_dtype

__all__ = ["CLOSE_ENOUGH", "choose_dtype", "fixed_picture", "recall_dtype", "restored"]

CLOSE_ENOUGH = 40.0  # dB below the picture's range of 2: an error of 2.6 of 255
log = logging.getLogger(__name__)


def recall_dtype(path: Path, device: torch.device, backend: str) -> str | None:
    """What ``choose_dtype`` would give for a checkpoint's network, where that is known without a trial."""
    return known_dtype(path, device, backend) if _quick_dtypes(device) else "fp32"


def choose_dtype(network: Gpen | OnnxProgram, host: Host, backend: str = "folded") -> str | None:
    """The first of bf16 and fp16 that the device is quick in and that gives nearly fp32's picture, else fp32.

    Restores one fixed picture in each, on the host's device; the figures go to the log.

    Returns:
        None where the trial could not be made, for want of memory say: fp32 is safe then, and another time
        may tell more.
    """
    names = _quick_dtypes(host.device)
    if not names:
        return "fp32"
    try:
        return _first_close_enough(network, host, backend, names)
    except RuntimeError as error:
        log.info("GPEN stays in fp32 on %s, untried: %s", host.device, error)
        return None
    finally:
        gc.collect()  # A host's books may tie a module to itself; the trial's shall not wait on the device.


def _first_close_enough(network: Gpen | OnnxProgram, host: Host, backend: str, names: list[str]) -> str:
    stage = "Trying which dtype is exact"  # slow on a busy machine
    tell_stage(host, stage, 0, len(names) + 1)
    exact = restored(network, "fp32", host, backend)
    for done, name in enumerate(names, 1):
        tell_stage(host, stage, done, len(names) + 1)
        try:
            error = restored(network, name, host, backend) - exact
        except (RuntimeError, OptionError) as reason:
            if is_out_of_memory(reason):
                raise
            log.info("GPEN cannot run in %s on %s: %s", name, host.device, reason)
            continue
        decibels = 10 * torch.log10(4 / error.square().mean()).item()
        log.info(
            "GPEN in %s on %s: %.1f dB from fp32, %g are needed", name, host.device, decibels, CLOSE_ENOUGH
        )
        if decibels >= CLOSE_ENOUGH:  # NaN is not
            return name
    return "fp32"


def restored(network: Gpen | OnnxProgram, dtype: str, host: Host, backend: str) -> Tensor:
    """The fixed picture as a network restores it, [1, 3, size, size] in [-1, 1]."""
    made = make_backend(backend, network, DTYPES[dtype], host.check_interrupt)
    picture = fixed_picture(network.config.input_size).to(host.device)
    with own_arithmetic(host.device), placed(made, host, 1):
        return made.run(picture, host.check_interrupt).clamp(-1, 1)


def fixed_picture(size: int) -> Tensor:
    """Colours that change as smoothly as a blurred face's, [1, 3, size, size] in [-1, 1]."""
    generator = torch.Generator("cpu").manual_seed(0)
    coarse = torch.rand((1, 3, 16, 16), generator=generator, dtype=torch.float32, device="cpu") * 2 - 1
    smooth = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return smooth.clamp(-1, 1)


def _quick_dtypes(device: torch.device) -> list[str]:
    """What the hardware computes in, best first; nothing where that is not known."""
    if device.type == "cuda":
        return ["bf16", "fp16"] if torch.cuda.get_device_capability(device)[0] >= 8 else ["fp16"]
    return ["bf16"] if device.type == "cpu" and has_quick_bf16() else []
