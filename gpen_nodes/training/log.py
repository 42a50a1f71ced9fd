"""The CSV file of a run's losses and figures."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["Log"]


class Log:
    """Losses averaged between two lines of a CSV file; no device is waited for in between.

    ``seconds`` count from the start of the run, or from where it was last resumed.
    """

    COLUMNS = (
        *("step", "seconds", "pixel", "sharpness", "identity", "adversarial", "discriminator", "r1"),
        *("psnr", "psnr_degraded", "gradient", "gradient_degraded"),
    )

    def __init__(self, path: Path, first: int) -> None:
        self.path, self.began = path, time.monotonic()
        self.sums: dict[str, list[Tensor]] = {}
        rows = path.read_text().splitlines()[1:] if path.exists() else []
        # A run that was killed may have logged steps that its last state does not know: they come again.
        kept = [row for row in rows if int(row.split(",")[0]) <= first]
        path.write_text("\n".join([",".join(self.COLUMNS), *kept]) + "\n")

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, term in terms.items():
            self.sums.setdefault(name, []).append(term)

    def write(self, step: int, figures: dict[str, float]) -> str:
        """Add a line; the same as a short text for the progress bar."""
        row = {name: torch.stack(values).mean().item() for name, values in self.sums.items()} | figures
        self.sums.clear()
        row["seconds"] = time.monotonic() - self.began
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.COLUMNS, lineterminator="\n").writerow(
                {"step": step} | {name: f"{value:.5g}" for name, value in row.items()}
            )
        return " ".join(f"{name} {row[name]:.4g}" for name in ("pixel", "psnr", "gradient") if name in row)
