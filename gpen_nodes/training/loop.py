"""The training loop, on Lightning Fabric: one process and many run the same code."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..checkpoints import Checkpoint, write_checkpoint
from ..errors import OptionError
from ..faces.identity import FaceEmbedder
from ..model import Gpen
from .config import TrainingConfig
from .dataset import FaceStore, TrainingPairs
from .log import Log
from .samples import Samples
from .stage import Stage

__all__ = ["train"]


def train(
    config: TrainingConfig,
    faces: str | Path,
    folder: str | Path,
    *,
    start: Gpen | None = None,
    embedder: FaceEmbedder | None = None,
    fabric: Fabric | None = None,
    workers: int = 1,
) -> Gpen:
    """Train one stage and return the averaged model. A stopped run goes on where its state was saved.

    A run that is resumed with the same config gives the same weights as one that never stopped.

    Args:
        config: what to train and for how long.
        faces: folder of aligned faces, see ``FaceStore``.
        folder: of the run: ``config.json``, ``losses.csv``, ``samples-N.png``, ``state.pt``, and at the
            end ``model.safetensors``.
        start: the model to go on from; grown if it has half the size. None starts a new one. Not touched.
        embedder: for the identity term.
        fabric: device, precision and processes; None takes one process on this machine.
        workers: processes that load and degrade.

    Raises:
        OptionError: ``start`` does not lead to the config's size, a term lacks its network, or the folder
            holds the state of another network.
        ImageError: no faces, or none left to train on.
    """
    if config.identity and embedder is None:
        raise OptionError(
            "The identity term needs MobileFaceNet's weights; give their file or set identity to 0."
        )
    fabric = fabric or Fabric(accelerator="auto", devices=1, precision=config.precision)
    fabric.launch()
    folder = Path(folder)
    store = FaceStore(faces)
    samples = Samples(store, config)
    pairs = TrainingPairs(store, config.size, config.recipe, seed=config.seed, indices=samples.others)
    stage = Stage(config, fabric, start, embedder)
    stage.resume(folder / "state.pt")
    if fabric.is_global_zero:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    try:
        _run(stage, _batches(pairs, config, fabric, stage.done, workers), samples, folder)
    finally:
        # Ctrl-C included: nothing learnt is lost.
        stage.save(folder / "state.pt")
    average = stage.ema.model
    if fabric.is_global_zero:
        checkpoint = Checkpoint(average.state_dict(), average.config, _hyperparameters(config, average))
        write_checkpoint(checkpoint, folder / "model.safetensors")
    return average


def _batches(
    pairs: TrainingPairs, config: TrainingConfig, fabric: Fabric, first: int, workers: int
) -> Iterator[Any]:
    """Each process takes every ``world_size``-th sample number of what is left of the run."""
    per_step = config.batch * fabric.world_size
    numbers = range(first * per_step + fabric.global_rank, config.steps * per_step, fabric.world_size)
    # A loader without a generator of its own would draw from torch's global one.
    own = torch.Generator()
    loader = DataLoader(
        pairs, config.batch, sampler=numbers, num_workers=workers, drop_last=True, generator=own
    )
    return iter(fabric.setup_dataloaders(loader, use_distributed_sampler=False))


def _run(stage: Stage, batches: Iterator[Any], samples: Samples, folder: Path) -> None:
    """Take the steps that are left, and write sheets, losses and states on the way."""
    config, silent = stage.config, not stage.fabric.is_global_zero
    log = None if silent else Log(folder / "losses.csv", stage.done)
    progress = tqdm(batches, initial=stage.done, total=config.steps, disable=silent)
    for degraded, truth in progress:
        terms = stage.step(degraded, truth)
        if log is None:
            continue
        log.add(terms)
        if stage.done % config.sample_every == 0 or stage.done == config.steps:
            figures = samples.write(stage.ema.model, folder / f"samples-{stage.done:06d}.png")
            progress.set_postfix_str(log.write(stage.done, figures))
        if stage.done % config.save_every == 0:
            stage.save(folder / "state.pt")


def _hyperparameters(config: TrainingConfig, model: Gpen) -> dict[str, Any]:
    """How the stage was trained; what the network looks like is told by its own config."""
    shape = dataclasses.asdict(model.config)
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in shape}
