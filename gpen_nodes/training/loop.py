"""The training loop, on Lightning Fabric: one process and many run the same code."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.utils.data import DataLoader
from tqdm import tqdm

from ..atomic import remedy, replacing
from ..checkpoints import Checkpoint, write_checkpoint
from ..errors import CheckpointError, ImageError, OptionError
from ..model import Gpen
from .config import TrainingConfig, to_toml
from .dataset import TrainingPairs
from .log import Log
from .losses import Objective
from .order import Order
from .pictures import open_faces
from .plan import describe_plan
from .samples import Samples
from .stage import Pair, Stage
from .start import start_networks

__all__ = ["make_fabric", "plan", "train"]

STATE, SKIPPED = "state.pt", "skipped.txt"
PLACES = ("faces", "run", "start", "networks", "processes", "nodes", "workers", "tensorboard")


def train(
    config: TrainingConfig, *, objective: Objective | None = None, fabric: Fabric | None = None
) -> Gpen:
    """Train one stage and return the averaged model. A stopped run goes on where its state was saved.

    A run that is resumed with the same config gives the same weights as one that never stopped, to the last
    bit, and so does one that was killed. ``config.run`` gets ``config.toml``, ``losses.csv``,
    ``samples-N.png``, ``state.pt`` and ``best.safetensors``, ``skipped.txt`` if there are faces that can't
    be read, and at the end ``model.safetensors``.

    Args:
        config: what to train, on what, and for how long.
        objective: in the place of the one that the config describes.
        fabric: device, precision and processes, in the place of those that the config describes.

    Raises:
        OptionError: ``start`` does not lead to the config's size, no faces or no run are named, or the folder
            holds the state of another network.
        MissingWeightsError: a term lacks its network; says where to get it.
        ImageError: no faces, or none left to train on.
        CheckpointError: the state or the model can't be written; what was written before stays.
        DegenerateOutputError: the weights have become NaN or infinite; the last good state stays.
    """
    if not config.run:
        raise OptionError("run names no folder; expected one for the run's files, such as run=runs/first.")
    stage, pairs, samples = _prepare(config, objective, fabric)
    folder = Path(config.run)
    stage.resume(folder / STATE)
    log = _open_folder(stage, folder) if stage.fabric.is_global_zero else None
    stage.fabric.barrier()
    try:
        _run(stage, _batches(stage, pairs), samples, folder, log)
    finally:
        # Ctrl-C included: nothing learnt is lost.
        _save(stage, folder / STATE)
    if stage.fabric.is_global_zero:
        _write_model(stage, folder / "model.safetensors")
    return stage.ema.model


def plan(config: TrainingConfig, *, objective: Objective | None = None, fabric: Fabric | None = None) -> str:
    """What ``train`` would do, with the memory and the time that it would take, from a few timed steps.

    Nothing is written. Raises what ``train`` raises.
    """
    config = dataclasses.replace(config, run="")
    stage, pairs, samples = _prepare(config, objective, fabric)
    return describe_plan(stage, _batches(stage, pairs), faces=len(pairs.indices), kept=len(samples.kept))


def make_fabric(config: TrainingConfig) -> Fabric:
    """Device, precision and processes as the config says, or as ``torchrun`` does."""
    processes, nodes = config.processes, config.nodes
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        processes = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // processes
    # The reducer's buckets are the gradients themselves: one copy of the network less.
    strategy = DDPStrategy(gradient_as_bucket_view=True) if processes * nodes > 1 else "auto"
    return Fabric(devices=processes, num_nodes=nodes, precision=config.precision, strategy=strategy)


def _prepare(
    config: TrainingConfig, objective: Objective | None, fabric: Fabric | None
) -> tuple[Stage, TrainingPairs, Samples]:
    """All that can be wrong with a config is found here, before anything is written."""
    if not config.faces:
        raise OptionError(
            "faces names nothing; expected a folder, a zip file or shards, such as faces=ffhq.zip."
        )
    objective = objective or Objective.from_config(config)
    faces = open_faces(config.faces)
    samples = Samples(faces, config.size)
    networks = start_networks(config)
    fabric = fabric or make_fabric(config)
    fabric.launch()
    stage = Stage(config, fabric, objective, *networks)
    skipped = Path(config.run, SKIPPED) if config.run else None
    pairs = TrainingPairs(
        faces, config.size, config.recipe, seed=config.seed, indices=samples.others, skipped=skipped
    )
    return stage, pairs, samples


def _batches(stage: Stage, pairs: TrainingPairs) -> Iterator[list[Pair]]:
    """The batches of each step that is left of the run."""
    config, fabric = stage.config, stage.fabric
    order = Order(
        range(stage.done, config.steps),
        config.batch,
        config.accumulate,
        fabric.global_rank,
        fabric.world_size,
    )
    loader: Any = DataLoader(
        pairs,
        batch_sampler=order,
        num_workers=config.workers,
        pin_memory=fabric.device.type == "cuda",
        # A loader without a generator of its own would draw from torch's global one.
        generator=torch.Generator(),
    )
    with _one_opencv_thread():
        batches = iter(loader)  # forks the workers
    while step := [fabric.to_device(pair) for pair in itertools.islice(batches, config.accumulate)]:
        yield step


@contextlib.contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Workers that are forked now have OpenCV without its pool, whose threads they would wait for in vain.

    Set in the worker itself it would hang there already.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _open_folder(stage: Stage, folder: Path) -> Log:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "config.toml") as temporary:
            temporary.write_text(to_toml(stage.config), encoding="utf-8")
        return Log(folder / "losses.csv", stage.done, tensorboard=stage.config.tensorboard)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written to: {remedy(error)}") from error


def _run(stage: Stage, steps: Iterator[list[Pair]], samples: Samples, folder: Path, log: Log | None) -> None:
    """Take the steps that are left; who has a log writes sheets, losses and states on the way."""
    config = stage.config
    progress = tqdm(steps, initial=stage.done, total=config.steps, disable=log is None)
    for batches in progress:
        terms = stage.step(batches)
        if log is None:
            continue
        log.add(terms)
        if stage.done % config.sample_every == 0 or stage.done == config.steps:
            with _going_on(stage.done):
                progress.set_postfix_str(_report(stage, samples, log, folder))
        if stage.done % config.save_every == 0:
            with _going_on(stage.done):
                _save(stage, folder / STATE)


def _report(stage: Stage, samples: Samples, log: Log, folder: Path) -> str:
    """A sheet, a line in the log, and the model if there was no better one; a short text."""
    sheet = folder / f"samples-{stage.done:06d}.png"
    figures = samples.write(stage.ema.model, stage.objective, sheet)
    text = log.write(stage.done, figures)
    if figures["objective"] < stage.best:
        _write_model(stage, folder / "best.safetensors")
        stage.best = figures["objective"]
    return text


@contextlib.contextmanager
def _going_on(step: int) -> Iterator[None]:
    """A disk that is full in the middle of a run ends no run: it may have room the next time."""
    try:
        yield
    except (OSError, CheckpointError, ImageError) as error:
        said = remedy(error) if isinstance(error, OSError) else error
        tqdm.write(f"Step {step}: {said} Training goes on.", file=sys.stderr)


def _save(stage: Stage, path: Path) -> None:
    try:
        stage.save(path)
    except OSError as error:
        former = " That of an earlier step stays there." if path.exists() else ""
        raise CheckpointError(
            f"The state after step {stage.done} cannot be written to {path}: {remedy(error)}{former}"
        ) from error


def _write_model(stage: Stage, path: Path) -> None:
    average = stage.ema.model
    # How it was trained. What the network looks like is told by its own config, and paths concern nobody.
    untold = {*dataclasses.asdict(average.config), *PLACES}
    told = {name: value for name, value in dataclasses.asdict(stage.config).items() if name not in untold}
    write_checkpoint(Checkpoint(average.state_dict(), average.config, told), path)
