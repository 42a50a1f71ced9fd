"""Random weights and inputs that are the same on every machine, and figures of outputs small enough to store.

The expected values in ``network.json`` were computed by GPEN's own code (public repository yangxy/GPEN,
``face_model/gpen_model.py``) from the weights and inputs that these functions give, on a CPU in fp32.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A tensor for every released name but the filters, which are constants: Gaussian, seeded by the name.

    Noise weights and biases are not zero; those of the mapping network are stored large, as trained ones are.
    """
    made = {}
    for name, shape in shapes.items():
        values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
        if name.startswith("generator.style") and name.endswith("weight"):
            values *= 100
        elif name.endswith("modulation.bias"):
            values = 1 + 0.3 * values
        elif name.endswith(("bias", "noise.weight")):
            values *= 0.3
        made[name] = torch.from_numpy(np.asarray(values, dtype=np.float32))
    return made


def picture(size: int, batch: int = 1) -> Tensor:
    """[batch, 3, size, size], uniform in [-1, 1]."""
    values = np.random.RandomState(size).uniform(-1, 1, (batch, 3, size, size))
    return torch.from_numpy(values.astype(np.float32))


def figures(output: Tensor) -> list[float]:
    """512 values spread over the output, then its mean and standard deviation."""
    flat = output.detach().double().flatten()
    places = np.random.RandomState(0).randint(0, flat.numel(), 512)
    return [*flat[torch.from_numpy(places)].tolist(), flat.mean().item(), flat.std().item()]
