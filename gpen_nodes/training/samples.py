"""Faces kept out of training: figures and a sheet to look at."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..degradation import EVALUATION_RECIPE, degrade
from ..errors import ImageError
from ..evaluation.metrics import gradient_energy, psnr
from ..images import from_network, resize, to_network, to_uint8
from ..model import Gpen
from .config import TrainingConfig
from .dataset import FaceStore

__all__ = ["Samples"]

SHOWN = 6


class Samples:
    """Every 64th face, at most 32, degraded once by the evaluation recipe.

    Attributes:
        others: the faces left to train on: those of all photos that none of the kept ones is from.

    Raises:
        ImageError: there are none.
    """

    def __init__(self, store: FaceStore, config: TrainingConfig) -> None:
        kept = [i for i in range(len(store)) if i % 64 == 0][:32]
        sources = {store.sources[i] for i in kept}
        self.others = [i for i in range(len(store)) if store.sources[i] not in sources]
        if not self.others:
            raise ImageError(
                f"Found {len(store)} faces, all of photos that are kept out of training to be looked at; "
                "expected faces of more photos."
            )
        truth = torch.stack([store[i] for i in kept])
        degraded, _ = degrade(truth, EVALUATION_RECIPE, torch.Generator().manual_seed(0))
        self.truth, self.degraded = (
            to_network(resize(x, config.size, config.size, mode="bilinear")) for x in (truth, degraded)
        )

    @torch.no_grad()
    def write(self, model: Gpen, path: Path) -> dict[str, float]:
        """Restore the kept faces, write degraded, restored and true ones as a PNG; the mean figures."""
        device = next(model.parameters()).device
        batches = (x.to(device).contiguous(memory_format=torch.channels_last) for x in self.degraded.split(8))
        restored = torch.cat([model(x).cpu() for x in batches])
        rows = [from_network(x[:SHOWN]) for x in (self.degraded, restored, self.truth)]
        sheet = torch.cat([torch.cat(list(row), dim=1) for row in rows])
        Image.fromarray(to_uint8(sheet)).save(path)
        truth, degraded, restored = (_unit(x) for x in (self.truth, self.degraded, restored))
        return {
            "psnr": psnr(restored, truth).mean().item(),
            "psnr_degraded": psnr(degraded, truth).mean().item(),
            "gradient": (gradient_energy(restored) / gradient_energy(truth)).mean().item(),
            "gradient_degraded": (gradient_energy(degraded) / gradient_energy(truth)).mean().item(),
        }


def _unit(x: Tensor) -> Tensor:
    return ((x + 1) / 2).clamp(0, 1)
