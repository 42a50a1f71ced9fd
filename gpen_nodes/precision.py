"""Which dtype a network computes in: the one place that decides."""

from __future__ import annotations

import logging

import torch
import torch.nn.functional as F
from torch import Tensor

from .model import Gpen, fold

__all__ = ["DTYPES", "choose_dtype"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CLOSE_ENOUGH = 40.0  # dB below the picture's range of 2: an error of 2.6 of 255
log = logging.getLogger(__name__)


def choose_dtype(network: Gpen, device: torch.device) -> str:
    """The first of bf16 and fp16 that the device is quick in and that gives nearly fp32's picture, else fp32.

    Restores one fixed picture in each, on the device; the figures go to the log.
    """
    try:
        return _first_close_enough(network, device)
    except RuntimeError as error:  # Out of memory, or an operator that the device lacks in this dtype.
        log.info("GPEN stays in fp32 on %s: %s", device, error)
        return "fp32"


@torch.no_grad()
def _first_close_enough(network: Gpen, device: torch.device) -> str:
    names = _quick_dtypes(device)
    if not names:
        return "fp32"
    picture = _fixed_picture(network.config.input_size).to(device)
    exact = fold(network).to(device)(picture).clamp(-1, 1)
    for name in names:
        error = fold(network, DTYPES[name]).to(device)(picture).clamp(-1, 1) - exact
        decibels = 10 * torch.log10(4 / error.square().mean()).item()
        log.info("GPEN in %s on %s: %.1f dB from fp32, %g are needed", name, device, decibels, CLOSE_ENOUGH)
        if decibels >= CLOSE_ENOUGH:  # NaN is not
            return name
    return "fp32"


def _fixed_picture(size: int) -> Tensor:
    """Colours that change as smoothly as a blurred face's, [1, 3, size, size] in [-1, 1]."""
    coarse = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1
    smooth = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return smooth.clamp(-1, 1)


def _quick_dtypes(device: torch.device) -> list[str]:
    """What the hardware computes in, best first; nothing where that is not known."""
    if device.type == "cuda":
        return ["bf16", "fp16"] if torch.cuda.get_device_capability(device)[0] >= 8 else ["fp16"]
    if device.type == "cpu":
        # Private, and missing before torch 2.5, where fp32 is the safe answer.
        tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return ["bf16"] if any(getattr(torch.cpu, test, bool)() for test in tests) else []
    return []
