"""The training loop, on Lightning Fabric: one process and many run the same code."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
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

from ..errors import OptionError
from ..facesets import FaceSet, open_faces
from ..model import Gpen
from .config import TrainingConfig
from .dataset import TrainingPairs
from .folder import STATE, RunFolder, going_on
from .losses import Objective
from .losses.untrained import UntrainedNetworks
from .order import Order
from .plan import describe_plan
from .samples import Samples
from .stage import Pair, Stage
from .start import start_networks

__all__ = ["make_fabric", "plan", "train"]

SKIPPED = "skipped.txt"


def train(
    config: TrainingConfig, *, objective: Objective | None = None, fabric: Fabric | None = None
) -> Gpen:
    """Train one stage and return the averaged model. A stopped run goes on where its state was saved.

    A run that was stopped or killed and is resumed with the same config gives the same weights, to the last
    bit, as one that never stopped. A run that goes on with other faces, another seed or recipe says so.
    The folder ``config.run`` gets ``config.toml``, ``losses.csv``, ``samples-N.png``, ``state.pt``,
    ``best.safetensors``, ``skipped.txt`` if some faces can't be read, and at the end ``model.safetensors``.

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
    stage.resume(Path(config.run, STATE))
    folder = RunFolder(Path(config.run), stage) if stage.fabric.is_global_zero else None
    if folder is not None and stage.changed:
        tqdm.write(f"The run goes on with other data: {' '.join(stage.changed)}", file=sys.stderr)
    stage.fabric.barrier()
    try:
        _run(stage, _batches(stage, pairs), samples, folder)
    finally:
        if folder is not None:
            folder.save()  # also after Ctrl-C, so that no completed step is lost
    if folder is not None:
        folder.write_model("model.safetensors")
    return stage.ema.model


def plan(config: TrainingConfig, *, objective: Objective | None = None, fabric: Fabric | None = None) -> str:
    """What ``train`` would do, with the memory and the time that it would take, from a few timed steps.

    Nothing is written. Raises what ``train`` raises, but needs neither the terms' weights nor the start
    model: networks of the same shape are counted as well.
    """
    networks = UntrainedNetworks(**dataclasses.asdict(config.networks))
    config = dataclasses.replace(config, run="", networks=networks)
    missing = networks.missing
    if config.start and not Path(config.start).exists():
        missing.append(f"{config.start}, counted as a new model")
        config = dataclasses.replace(config, start="")
    stage, pairs, samples = _prepare(config, objective, fabric)
    text = describe_plan(
        stage, _batches(stage, pairs), faces=len(pairs.indices), held_out=len(samples.held_out)
    )
    return f"{text}\n{'not here yet':15}{', '.join(missing)}" if missing else text


def make_fabric(config: TrainingConfig) -> Fabric:
    """Device, precision and processes as the config says, or as ``torchrun`` does."""
    processes, nodes = config.processes, config.nodes
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        processes = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // processes
    # Gradients are views of DDP's buckets, which saves one copy of the network.
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
    objective = objective or Objective.build(config.weights, config.networks)
    faces = open_faces(config.faces)
    samples = Samples(faces, config.size, config.min_true_size)
    networks = start_networks(config)
    fabric = fabric or make_fabric(config)
    fabric.launch()
    stage = Stage(config, fabric, objective, *networks)
    stage.faces = _known_by(faces)
    skipped = Path(config.run, SKIPPED) if config.run else None
    pairs = TrainingPairs(
        faces, config.size, config.recipe, seed=config.seed, indices=samples.others, skipped=skipped
    )
    return stage, pairs, samples


def _known_by(faces: FaceSet) -> str:
    """Number and names of the faces; not where they lie, which may be elsewhere on another machine."""
    digest = hashlib.sha256("\n".join(map(str, faces.sources)).encode()).hexdigest()
    return f"{len(faces)} faces {digest[:12]}"


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
    """Fork workers while OpenCV has no thread pool.

    Threads do not survive a fork, so a worker would wait for the pool's threads for ever. It cannot set the
    number of threads itself, since that waits for them, too.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _run(stage: Stage, steps: Iterator[list[Pair]], samples: Samples, folder: RunFolder | None) -> None:
    """Take the steps that are left; the process that has a folder writes sheets, losses and states."""
    config = stage.config
    progress = tqdm(steps, initial=stage.done, total=config.steps, disable=folder is None)
    for batches in progress:
        terms = stage.step(batches)
        if folder is None:
            continue
        folder.log.add(terms)
        if stage.done % config.sample_every == 0 or stage.done == config.steps:
            with going_on(stage.done):
                progress.set_postfix_str(folder.report(samples))
        if stage.done % config.save_every == 0:
            with going_on(stage.done):
                folder.save()
