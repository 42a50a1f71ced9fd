"""The folder of a run: what is written into it, and what happens where that fails."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from ..atomic import remedy, replacing
from ..checkpoints import Checkpoint, write_checkpoint
from ..errors import CheckpointError, ImageError
from .config import to_toml
from .log import Log
from .samples import Samples
from .stage import Stage

__all__ = ["STATE", "RunFolder", "going_on"]

STATE = "state.pt"
PLACES = ("faces", "run", "start", "networks", "processes", "nodes", "workers", "tensorboard")


class RunFolder:
    """Writes ``config.toml``, ``losses.csv``, a resumable state, sample sheets and models.

    With several processes only one of them writes.

    Raises:
        CheckpointError: the folder cannot be written to.
    """

    def __init__(self, path: Path, stage: Stage) -> None:
        self.path, self.stage = path, stage
        try:
            path.mkdir(parents=True, exist_ok=True)
            with replacing(path / "config.toml") as temporary:
                temporary.write_text(to_toml(stage.config), encoding="utf-8")
            self.log = Log(path / "losses.csv", stage.done, tensorboard=stage.config.tensorboard)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be written to: {remedy(error)}") from error

    def report(self, samples: Samples) -> str:
        """A sheet, a line in the log, and the model if there was no better one; a short text."""
        stage = self.stage
        sheet = self.path / f"samples-{stage.done:06d}.png"
        figures = samples.write(stage.ema.model, stage.objective, sheet)
        text = self.log.write(stage.done, figures)
        if figures["objective"] < stage.best:
            self.write_model("best.safetensors")
            stage.best = figures["objective"]
        return text

    def save(self) -> None:
        """The state after the last completed step.

        Raises:
            CheckpointError: it cannot be written; what was saved before stays.
            DegenerateOutputError: see ``Stage.save``.
        """
        path = self.path / STATE
        try:
            self.stage.save(path)
        except OSError as error:
            former = " That of an earlier step stays there." if path.exists() else ""
            raise CheckpointError(
                f"The state after step {self.stage.done} cannot be written to {path}: {remedy(error)}{former}"
            ) from error

    def write_model(self, name: str) -> None:
        """The averaged model.

        Raises:
            CheckpointError: it cannot be written.
        """
        average = self.stage.ema.model
        # Only how it was trained: the network has a config of its own, and paths mean nothing elsewhere.
        untold = {*dataclasses.asdict(average.config), *PLACES}
        config = dataclasses.asdict(self.stage.config)
        told = {option: value for option, value in config.items() if option not in untold}
        write_checkpoint(Checkpoint(average.state_dict(), average.config, told), self.path / name)


@contextlib.contextmanager
def going_on(step: int) -> Iterator[None]:
    """Report an error of writing and let the run go on: a full disk may have room again the next time."""
    try:
        yield
    except (OSError, CheckpointError, ImageError) as error:
        said = remedy(error) if isinstance(error, OSError) else error
        tqdm.write(f"Step {step}: {said} Training goes on.", file=sys.stderr)
