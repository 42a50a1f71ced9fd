"""``gpen-nodes restore --ray``: the pictures of a job in the processes of a cluster."""

from __future__ import annotations

import argparse
import functools
import os
import re
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..batch import (
    Delivery,
    Job,
    Manifest,
    Outcome,
    Store,
    StoreDelivery,
    Workers,
    cluster,
    failed,
    on_workers,
    worker_name,
)
from ..errors import GpenError, OptionError
from ..faces import RestoreOptions
from ..weight_files import model_paths, shipped_model
from .restore_plan import RestorePlan, sums_of
from .restoring import load_restoring, restored_here
from .store_plan import StorePlan

__all__ = ["add_ray_option", "restored_on_ray"]


def add_ray_option(parser: argparse.ArgumentParser) -> None:
    """Register ``--ray``."""
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="on the workers of a Ray cluster (extra ray): auto, or HOST:PORT; alone the one of RAY_ADDRESS, "
        "else a new one on this machine. --devices cpu*2 or cuda*8 says how many workers; else all there is "
        "room for",
    )


def restored_on_ray(
    args: argparse.Namespace, options: RestoreOptions, plan: RestorePlan, mask: Tensor | None
) -> Generator[tuple[Job, Any], None, None]:
    """Each job that is not finished, with its outcome or error.

    Raises:
        GpenError: the options do not fit a cluster, it does not answer, or its workers cannot start.
    """
    _check_address(args.ray)
    wanted = _wanted(args)
    if not (jobs := plan.pending):
        return
    here = Path.cwd()
    with cluster(args.ray or None) as machines:
        workers, device = _workers(wanted, machines)
        words = argparse.Namespace(**{k: v for k, v in vars(args).items() if k not in ("run", "usage_error")})
        if args.model_path:
            names = [os.path.abspath(name) if os.path.exists(name) else name for name in args.model_path]
            words.model_path = names
        recipe = _Recipe(words, _found_anywhere(options), device, plan.settings, mask)
        load: Callable[[], Any]
        tasks: list[Any]
        if isinstance(plan, StorePlan):
            load = functools.partial(_in_stores, recipe, dict(plan.addresses), plan.name)
            tasks = [(job, plan.keys[job.output]) for job in jobs]
        else:
            manifest = None if plan.manifest is None else here / plan.manifest.path
            load = functools.partial(_on_disks, recipe, manifest, plan.name)
            tasks = [job.below(here) for job in jobs]
        for place, outcome in on_workers(tasks, load, workers):
            yield jobs[place], _renamed(outcome, jobs[place], here)


def _found_anywhere(options: RestoreOptions) -> RestoreOptions:
    """Options whose files are found from another folder, too: a worker has one of its own."""
    files = {
        "detector_weights": options.detect.detector_weights,
        "face_parser": options.judge.face_parser,
    }
    return options.changed(**{name: os.path.abspath(path) for name, path in files.items() if path})


def _renamed(outcome: Outcome | GpenError, job: Job, here: Path) -> Outcome | GpenError:
    """What a worker says, with a picture's paths as the user wrote them."""
    if isinstance(outcome, GpenError):
        return outcome
    there = job.below(here)
    return _retold(outcome, {str(there.source): str(job.source), str(there.output): str(job.output)})


def _retold(outcome: Outcome, words: Mapping[str, str]) -> Outcome:
    def own(text: str) -> str:
        for old, new in words.items():
            text = text.replace(old, new)
        return text

    entry = {name: own(value) if isinstance(value, str) else value for name, value in outcome.entry.items()}
    return Outcome(entry, tuple(map(own, outcome.notes)))


@dataclass(frozen=True)
class _Recipe:
    """What a worker needs for restoring."""

    args: argparse.Namespace
    options: RestoreOptions
    device: str
    settings: Mapping[str, Any]
    mask: Tensor | None

    def load(self, delivery: Any) -> Callable[..., list[tuple[Job, Outcome]]]:
        """In a worker's process: what restores pictures, and tells what became of each."""
        names = self.args.model_path
        weights = model_paths(names) if names else [shipped_model()]
        if sums_of(weights) != self.settings["model"]:
            found = ", ".join(map(str, weights))
            raise OptionError(
                f"{found}: not the model here that it is where the job was started. Put the one file where "
                "every machine finds it, or install one version of gpen-nodes everywhere."
            )
        stopped = threading.Event()
        device = torch.device(self.device)
        restoring, engines = load_restoring(
            self.args, self.options, weights, [device], self.settings, self.mask, delivery, stopped
        )

        def restore(jobs: Sequence[Job], **more: Any) -> list[tuple[Job, Outcome]]:
            results = restored_here(jobs, restoring, engines, stopped, **more)
            return [(job, failed(job, one) if isinstance(one, Exception) else one) for job, one in results]

        return restore


def _on_disks(
    recipe: _Recipe, manifest: Path | None, name: str
) -> Callable[[Sequence[Job]], Sequence[Outcome]]:
    """A worker that reads and writes where every machine can."""
    part = None if manifest is None else Manifest.part_of(manifest, worker_name())
    restore = recipe.load(Delivery(part, name, worker_name()))

    def work(jobs: Sequence[Job]) -> list[Outcome]:
        try:
            with nullcontext() if part is None else part.held():
                return [outcome for _, outcome in restore(jobs)]
        except Exception as error:
            return [failed(job, error) for job in jobs]

    return work


def _in_stores(
    recipe: _Recipe, addresses: Mapping[str, str], manifest: str
) -> Callable[[Sequence[tuple[Job, str]]], Sequence[Outcome]]:
    """A worker that fetches pictures, restores them in a folder of its own, and sends what they become."""
    source = Store(addresses["source"])
    delivery = StoreDelivery(Store(addresses["target"]), manifest)
    restore = recipe.load(delivery)

    def work(tasks: Sequence[tuple[Job, str]]) -> list[Outcome]:
        with tempfile.TemporaryDirectory(prefix="gpen-nodes-") as scratch:
            folder = Path(scratch)
            jobs = [job.below(folder) for job, _ in tasks]
            delivery.begin(folder / "target", {job.name: key for job, key in tasks})
            outcomes = restore(jobs, before=lambda job: source.get(job.name, job.source))
            unsent = delivery.send()
            words = {f"{folder}/{part}": address for part, address in addresses.items()}
            return [
                _retold(failed(job, unsent[job.name]) if job.name in unsent else outcome, words)
                for job, outcome in outcomes
            ]

    return work


def _check_address(address: str) -> None:
    if not re.fullmatch(r"|auto|local|ray://.+|.+:\d+", address):
        raise OptionError(
            f"--ray {address}: expected auto, or HOST:PORT of the cluster. Name pictures before --ray, or "
            "after --input."
        )


def _wanted(args: argparse.Namespace) -> tuple[str | None, int | None]:
    """Kind of device and number of workers, as far as the user says."""
    text = args.devices or args.device
    if text is None:
        return None, None
    match = re.fullmatch(r"(cpu|cuda)(?:\*([1-9]\d*))?", text)
    if match is None:
        raise OptionError(
            f"With --ray, --devices is a kind and a number of workers, such as cpu*16 or cuda*4, and not "
            f"{text}: the cluster chooses the cards."
        )
    count = int(match[2]) if match[2] else None
    return match[1], count


def _workers(
    wanted: tuple[str | None, int | None], machines: Sequence[Mapping[str, float]]
) -> tuple[Workers, str]:
    """As many as asked for, or as there is room for, and their device."""
    device, count = wanted
    cpus = [int(machine.get("CPU", 0)) for machine in machines]
    gpus = [int(machine.get("GPU", 0)) for machine in machines]
    if device == "cpu" or (device is None and not any(gpus)):
        return Workers(count or max(1, sum(cpus))), "cpu"
    if not any(gpus):
        raise OptionError("--devices asks for GPUs, and the cluster has none.")
    # Reading and finding need cores: each worker gets its card's share of them.
    share = min(c // g for c, g in zip(cpus, gpus, strict=True) if g)
    return Workers(count or sum(gpus), max(1, min(16, share)), 1), "cuda"
