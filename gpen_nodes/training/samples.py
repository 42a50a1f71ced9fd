"""Faces kept out of training: figures and a sheet to look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..degradation import EVALUATION_RECIPE, degrade
from ..errors import ImageError
from ..evaluation.metrics import gradient_energy, psnr
from ..facesets import FaceSet, generator_of, number_names
from ..image_files import write_image_file
from ..images import from_network, resize, to_network
from ..model import Gpen
from .losses import Objective

__all__ = ["Samples"]

HELD_OUT, SHOWN = 32, 6


class Samples:
    """Every 64th face that can be read, at most 32, degraded by the evaluation recipe, always the same way.

    Attributes:
        others: the faces left to train on. Faces of a person who is among the kept ones are left out, and so
            are faces known to be smaller than ``min_true_size``.

    Raises:
        ImageError: there are none.
    """

    def __init__(self, faces: FaceSet, size: int, min_true_size: float = 0) -> None:
        self.faces, self.size = faces, size
        self.held_out = list(range(0, len(faces), 64))[:HELD_OUT]
        persons = faces.persons
        small = faces.true_sizes < min_true_size  # an unknown size (NaN) isn't
        persons_out = {persons[i] for i in self.held_out}
        others = [i for i in range(len(faces)) if persons[i] not in persons_out]
        self.others = [i for i in others if not small[i]]
        if others and not self.others:
            raise ImageError(
                f"Found {len(others)} faces to train on, all smaller than {min_true_size:g} px; expected "
                "larger ones. Lower min_true_size, or prepare larger photos."
            )
        if not self.others:
            raise ImageError(
                f"Found {len(faces)} faces, all of people who are kept out of training to be looked at; "
                "expected faces of more people."
            )

    def pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Degraded and true, [1, 3, size, size] in [-1, 1]; one at a time: 32 pairs may fill a gigabyte."""
        names = number_names(self.faces.sources)
        for index in self.held_out:
            try:
                truth = self.faces[index].unsqueeze(0)
            except ImageError:
                continue
            degraded, _ = degrade(truth, EVALUATION_RECIPE, generator_of(names[index], 0))
            pair = to_network(resize(torch.cat((degraded, truth)), self.size, self.size, mode="bilinear"))
            yield pair[:1], pair[1:]

    @torch.no_grad()
    def write(self, model: Gpen, objective: Objective, path: Path) -> dict[str, float]:
        """Restore the kept faces and write degraded, restored and true ones as a PNG; the mean figures."""
        device, sheet, columns = next(model.parameters()).device, [], {}
        for degraded, truth in self.pairs():
            restored = model(degraded.to(device).contiguous(memory_format=torch.channels_last))
            terms = objective(restored, truth.to(device))
            figures = {"objective": torch.stack(list(terms.values())).sum().cpu()}
            trio = [from_network(x.cpu()) for x in (degraded, restored, truth)]
            for name, figure in (figures | _figures(*trio)).items():
                columns.setdefault(name, []).append(figure)
            if len(sheet) < SHOWN:
                sheet.append(torch.cat(trio, dim=1))
        if not columns:
            raise ImageError("None of the faces that are kept out of training can be read.")
        write_image_file(path, torch.cat(sheet, dim=2)[0], overwrite=True)
        return {name: torch.stack(values).mean().item() for name, values in columns.items()}


def _figures(degraded: Tensor, restored: Tensor, truth: Tensor) -> dict[str, Tensor]:
    degraded, restored, truth = (x.permute(0, 3, 1, 2) for x in (degraded, restored, truth))
    energy = gradient_energy(truth)
    return {
        "psnr": psnr(restored, truth).squeeze(),
        "psnr_degraded": psnr(degraded, truth).squeeze(),
        "gradient": (gradient_energy(restored) / energy).squeeze(),
        "gradient_degraded": (gradient_energy(degraded) / energy).squeeze(),
    }
