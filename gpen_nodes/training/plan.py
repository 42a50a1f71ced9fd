"""What a run will take: parameters, memory, hours. From shapes and a few timed steps."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .stage import Pair, Stage

__all__ = ["describe_plan", "saved_tensors"]

WARM, TIMED = 1, 3


class Saved(NamedTuple):
    """A tensor that is kept: bytes of its storage, and how many numbers."""

    size: int
    numbers: int


def describe_plan(stage: Stage, steps: Iterator[list[Pair]], *, faces: int, held_out: int) -> str:
    """The plan as text. Trains a few steps of ``stage``, which is of no use afterwards."""
    config, fabric = stage.config, stage.fabric
    first = next(steps)
    memory = _memory(stage, *first[0])
    working, waiting = _time(stage, first, steps)
    peak = _peak_memory(fabric.device)
    seconds = working + waiting
    processes = fabric.world_size
    per_step = config.batch * config.accumulate * processes
    rows = {
        "restores": f"{_count(stage.raw) / 1e6:.1f} million parameters, {stage.raw.config}",
        "discriminates": f"{_count(stage.raw_discriminator) / 1e6:.1f} million parameters"
        if stage.raw_discriminator
        else "nothing: adversarial is 0",
        "objective": ", ".join(f"{name} {weight:g}" for name, weight in _weights(stage).items()),
        "faces": f"{faces} to train on, {held_out} held out",
        "runs on": f"{processes} × {fabric.device.type}, {config.precision}",
        "a step": f"{per_step} faces: {processes} × {config.accumulate} batches of {config.batch}",
        "memory": f"{peak / 1e9:.2f} GB a process at most" if peak else "not measured on this system",
        "by count": f"about {sum(memory.values()) / 1e9:.2f} GB, also for a device that is not here: "
        + ", ".join(f"{name} {size / 1e9:.2f}" for name, size in memory.items()),
        "time": f"{seconds:.3f} s a step, {waiting:.3f} of them waiting for faces; "
        f"{per_step / seconds:.2f} faces/s",
        "in all": f"{config.steps} steps, {config.steps * per_step / faces:.1f} epochs, "
        f"about {seconds * config.steps / 3600:.1f} hours",
    }
    return "\n".join(f"{name:15}{value}" for name, value in rows.items())


def _weights(stage: Stage) -> dict[str, float]:
    adversarial = {"adversarial": stage.game.weight} if stage.game is not None else {}
    return stage.objective.weights | adversarial


def saved_tensors(forward: Callable[[], object], *ignored: nn.Module) -> list[Saved]:
    """What autograd keeps for the backward pass of ``forward``, without the parameters of ``ignored``."""
    parameters = {p.untyped_storage().data_ptr() for network in ignored for p in network.parameters()}
    seen: dict[int, Saved] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            seen[storage.data_ptr()] = Saved(storage.nbytes(), tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = forward()  # held until the count is done: freed memory would be reused, and counted again
    del kept
    return list(seen.values())


def _count(network: nn.Module | None) -> int:
    return sum(p.numel() for p in network.parameters()) if network else 0


def _memory(stage: Stage, degraded: Tensor, truth: Tensor) -> dict[str, int]:
    """Bytes by kind: four for each number, and what one batch keeps for its backward pass."""
    trained = 4 * (_count(stage.raw) + _count(stage.raw_discriminator))
    frozen = 4 * (_count(stage.ema.model) + _count(stage.objective))

    def forward() -> object:
        with stage.fabric.autocast():
            restored = stage.raw(degraded.contiguous(memory_format=torch.channels_last))
            kept: list[object] = [stage.objective(restored, truth)]
            if stage.raw_discriminator is not None and stage.game is not None:
                generator = torch.Generator().manual_seed(0)
                kept.append(stage.game.generator_term(stage.raw_discriminator, restored, generator))
            return kept

    networks = [n for n in (stage.raw, stage.raw_discriminator, stage.objective) if n is not None]
    saved = saved_tensors(forward, *networks)
    return {
        "weights": trained + frozen,
        "gradients": trained,
        "Adam": 2 * trained,
        "activations": sum(tensor.size for tensor in saved),
        # Working memory: about four fp32 tensors of the largest layer's size, as measured on a CPU.
        "in flight": 4 * 4 * max(tensor.numbers for tensor in saved),
    }


def _peak_memory(device: torch.device) -> int | None:
    """The most bytes that this process has held: on a GPU those of tensors, on a CPU all that is resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")  # Linux; getrusage would count the parent's memory, too
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found and device.type == "cpu" else None


def _time(stage: Stage, first: list[Pair], steps: Iterator[list[Pair]]) -> tuple[float, float]:
    """Mean seconds of a step and of waiting for its faces; the first ones don't count."""
    every = stage.config.r1_every if stage.raw_discriminator is not None else 1
    waits, plain = [], []
    for _ in range(WARM + TIMED):
        began = time.perf_counter()
        first = next(steps, first)
        waits.append(time.perf_counter() - began)
        plain.append(_step_seconds(stage, first))
    usual = statistics.median(plain[WARM:])
    stage.done = every - 1  # the step with the gradient penalty
    penalised = _step_seconds(stage, first)
    return (usual * (every - 1) + penalised) / every, statistics.mean(waits[WARM:])


def _step_seconds(stage: Stage, batches: list[Pair]) -> float:
    began = time.perf_counter()
    terms = stage.step(batches)
    float(sum(terms.values()))  # waits for the device
    return time.perf_counter() - began
