"""A run's losses and figures: a CSV file, and TensorBoard's where it is wanted."""

from __future__ import annotations

import contextlib
import csv
import time
from collections import Counter
from pathlib import Path
from typing import Any

from torch import Tensor

from ..atomic import replacing
from ..errors import MissingWeightsError
from .losses import TERMS

__all__ = ["Log"]


class Log:
    """Losses, averaged from one line of a CSV file to the next. Until a line is written nothing waits for the
    device.

    With several processes they are the means of all. ``seconds`` count from the start of the run, or from
    where it was last resumed.

    Raises:
        MissingWeightsError: TensorBoard is wanted and not installed.
    """

    COLUMNS = (
        *("step", "seconds", *TERMS),
        *("adversarial", "discriminator", "r1"),
        *("objective", "psnr", "psnr_degraded", "gradient", "gradient_degraded"),
    )

    def __init__(self, path: Path, first: int, *, tensorboard: bool = False) -> None:
        self.path, self.began = path, time.monotonic()
        self.board = _open_board(path.parent, first) if tensorboard else None
        self.sums: dict[str, Tensor] = {}
        self.counts: Counter[str] = Counter()
        # By name: a run that an older version began has fewer columns.
        with path.open(newline="") if path.exists() else contextlib.nullcontext([]) as file:
            rows = list(csv.DictReader(file))
        with replacing(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.COLUMNS, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            # A run that was killed may have logged steps after its last saved state. They are taken again, so
            # their lines are dropped.
            writer.writerows(row for row in rows if int(row["step"]) <= first)

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, term in terms.items():
            self.sums[name] = self.sums[name] + term if name in self.sums else term
            self.counts[name] += 1

    def write(self, step: int, figures: dict[str, float]) -> str:
        """Add a line; the same as a short text for the progress bar."""
        row = {name: (total / self.counts[name]).item() for name, total in self.sums.items()} | figures
        self.sums.clear()
        self.counts.clear()
        row["seconds"] = time.monotonic() - self.began
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.COLUMNS, lineterminator="\n").writerow(
                {"step": step} | {name: f"{value:.5g}" for name, value in row.items()}
            )
        if self.board is not None:
            for name, value in row.items():
                self.board.add_scalar(name, value, step)
            self.board.flush()
        return " ".join(f"{name} {row[name]:.4g}" for name in ("pixel", "psnr", "gradient") if name in row)


def _open_board(folder: Path, first: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingWeightsError(
            "tensorboard = true needs TensorBoard: pip install tensorboard, or leave the option out."
        ) from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=first + 1)
