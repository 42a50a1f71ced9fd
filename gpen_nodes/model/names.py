"""Tensor names: those of the released checkpoints and those of this package's modules.

    released                                module
    ecd0.0.0.weight, ecdK.0.1.weight        encoder.stages.K.weight
    ecd0.0.1.bias,   ecdK.0.2.bias          encoder.stages.K.bias
    final_linear.0.*                        encoder.to_style.*
    generator.style.N.*                     mapper.N.*
    generator.*                             generator.*

The released files also store the low-pass filter beside each layer that uses it. It is one constant
(``layers.FIR``), so a module does not hold it: it is checked and dropped on the way in, added on the way out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import ArchitectureError
from .layers import FIR

__all__ = ["is_released", "to_module_names", "to_released_names"]

KERNEL = re.compile(r"(.*\.blur|.*\.upsample|ecd\d+\.0\.0)\.kernel$|convs\.\d+\.\w+\.0\.kernel$")
TO_MODULE = (
    (re.compile(r"^ecd(\d+)\.0\.\d+\.(weight|bias)$"), r"encoder.stages.\1.\2"),
    (re.compile(r"^final_linear\.0\.(weight|bias)$"), r"encoder.to_style.\1"),
    (re.compile(r"^generator\.style\.(\d+)\.(weight|bias)$"), r"mapper.\1.\2"),
)


def is_released(state: Mapping[str, Tensor]) -> bool:
    """Whether a restoring network's tensors carry the released names."""
    return "ecd0.0.0.weight" in state or any(name.startswith("generator.style.") for name in state)


def to_module_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename released tensors to module names; what has module names already is unchanged.

    Raises:
        ArchitectureError: a stored filter is not the one of all released models.
    """
    renamed = {}
    generator = is_released(state)  # A discriminator has a final_linear.0 of its own.
    for name, tensor in state.items():
        if KERNEL.match(name):
            _check_filter(name, tensor)
            continue
        if generator:
            for pattern, replacement in TO_MODULE:
                name = pattern.sub(replacement, name)
        renamed[name] = tensor
    return renamed


def _check_filter(name: str, kernel: Tensor) -> None:
    expected = torch.tensor(FIR, dtype=torch.float32, device="cpu")
    kernel = kernel.float().cpu()
    if kernel.shape != expected.shape or not torch.allclose(kernel / kernel.sum(), expected, atol=1e-3):
        raise ArchitectureError(
            f"Found another low-pass filter in {name}, {kernel.flatten()[:4].tolist()} …; expected the outer "
            "product of [1, 3, 3, 1] with itself. This file comes from a changed network."
        )


def to_released_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of ``to_module_names``, filters included.

    For a network with the convolutional encoder, or a discriminator.
    """
    released = {}
    for name, tensor in state.items():
        fir = torch.tensor(FIR, dtype=tensor.dtype, device=tensor.device)
        if m := re.match(r"encoder\.stages\.(\d+)\.(weight|bias)$", name):
            stage, kind = int(m[1]), m[2]
            offset = (kind == "bias") + (stage > 0)
            if stage > 0 and kind == "weight":
                released[f"ecd{stage}.0.0.kernel"] = fir
            name = f"ecd{stage}.0.{offset}.{kind}"
        elif name.startswith("encoder.to_style."):
            name = name.replace("encoder.to_style.", "final_linear.0.")
        elif name.startswith("mapper."):
            name = f"generator.style.{name.removeprefix('mapper.')}"
        elif m := re.match(r"(generator\.convs\.(\d+)\.conv)\.weight$", name):
            if int(m[2]) % 2 == 0:
                released[f"{m[1]}.blur.kernel"] = fir * 4
        elif m := re.match(r"(convs\.\d+\.(?:conv2|skip))\.1\.weight$", name):
            released[f"{m[1]}.0.kernel"] = fir
        elif m := re.match(r"(generator\.to_rgbs\.\d+)\.conv\.weight$", name):
            released[f"{m[1]}.upsample.kernel"] = fir * 4
        released[name] = tensor
    return released
