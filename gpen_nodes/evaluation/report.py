"""Figures of a model on faces whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..degradation import EVALUATION_RECIPE, degrade
from ..errors import OptionError
from ..faces.identity import FaceEmbedder
from ..host import LocalHost
from ..images import resize
from ..picture import write_picture
from ..restorer import Restorer
from .metrics import gradient_energy, psnr

__all__ = ["evaluate"]

SHOWN = 8


class Faces(Protocol):
    """Aligned faces by number, [S, S, 3] in [0, 1]."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Tensor: ...


@torch.no_grad()
def evaluate(
    restorer: Restorer,
    faces: Faces | Sequence[Tensor],
    *,
    embedder: FaceEmbedder | None = None,
    sheet: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> str:
    """Degrade every face by ``EVALUATION_RECIPE``, restore it, and compare both with the truth.

    Args:
        faces: true faces; compared at the restorer's size, to which they are resized.
        embedder: for the identity cosine; without it that row is left out.
        sheet: a picture to write: degraded, restored and true faces in three rows.
        limit: take only the first so many.
        seed: of the degradation.

    Returns:
        A Markdown table of means. Gradient energy is a share of the truth's.

    Raises:
        OptionError: no face is left to compare.
    """
    count = len(faces) if limit is None else min(len(faces), limit)
    if count < 1:
        raise OptionError(f"Found {len(faces)} faces and a limit of {limit}; expected at least one face.")
    generator = torch.Generator().manual_seed(seed)
    columns: dict[str, list[Tensor]] = {}
    shown: list[Tensor] = []
    for index in range(count):
        truth = faces[index].unsqueeze(0)
        degraded, _ = degrade(truth, EVALUATION_RECIPE, generator)
        restored = restorer.restore(degraded, LocalHost())
        side = restorer.size
        degraded, restored, truth = (
            resize(x, side, side).permute(0, 3, 1, 2) for x in (degraded, restored, truth)
        )
        for name, value in _figures(degraded, restored, truth, embedder).items():
            columns.setdefault(name, []).append(value)
        if len(shown) < SHOWN:
            shown.append(torch.cat((degraded, restored, truth), dim=2)[0])
    if sheet is not None:
        write_picture(sheet, torch.cat(shown, dim=2).permute(1, 2, 0), overwrite=True)
    means = {name: torch.stack(values).mean().item() for name, values in columns.items()}
    return _table(means, count)


def _figures(
    degraded: Tensor, restored: Tensor, truth: Tensor, embedder: FaceEmbedder | None
) -> dict[str, Tensor]:
    figures = {}
    own = embedder.embed(truth) if embedder else None
    for name, x in (("degraded", degraded), ("restored", restored)):
        figures[f"PSNR (dB) {name}"] = psnr(x, truth).squeeze()
        figures[f"gradient energy {name}"] = (gradient_energy(x) / gradient_energy(truth)).squeeze()
        if embedder is not None and own is not None:
            figures[f"identity cosine {name}"] = (embedder.embed(x) * own).sum()
    return figures


def _table(means: dict[str, float], count: int) -> str:
    rows = [f"| {count} faces | degraded | restored |", "|---|---|---|"]
    for metric in sorted({name.rsplit(" ", 1)[0] for name in means}):
        rows.append(f"| {metric} | {means[f'{metric} degraded']:.3f} | {means[f'{metric} restored']:.3f} |")
    return "\n".join(rows)
