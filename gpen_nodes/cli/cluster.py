"""``gpen-nodes restore --ray``: the pictures of a job in the processes of a cluster."""

from __future__ import annotations

import argparse
import functools
import os
import re
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..batch import Delivery, Job, Manifest, Outcome, Workers, cluster, failed, on_workers, worker_name
from ..errors import GpenError, OptionError
from ..faces import RestoreOptions
from ..weight_files import model_path, sha256, shipped_model
from .restore_plan import RestorePlan
from .restoring import load_restoring, restored_here

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
    here = Path.cwd()
    jobs = plan.pending
    if not jobs:
        return
    own = {(here / job.output): job for job in jobs}
    with cluster(args.ray or None) as machines:
        workers, device = _workers(wanted, machines)
        names = {name: value for name, value in vars(args).items() if name not in ("run", "usage_error")}
        words = argparse.Namespace(**names)
        if args.model_path and os.path.exists(args.model_path):
            words.model_path = os.path.abspath(args.model_path)
        manifest = None if plan.manifest is None else here / plan.manifest.path
        load = functools.partial(_load, words, options, device, plan.settings, mask, manifest, plan.name)
        for job, outcome in on_workers([job.below(here) for job in jobs], load, workers):
            yield own[job.output], _renamed(outcome, job, own[job.output])


def _renamed(outcome: Outcome | GpenError, there: Job, here: Job) -> Outcome | GpenError:
    """What a worker says, with a picture's paths as the user wrote them."""
    if isinstance(outcome, GpenError):
        return outcome

    def own(text: str) -> str:
        return text.replace(str(there.source), str(here.source)).replace(str(there.output), str(here.output))

    entry = {name: own(value) if isinstance(value, str) else value for name, value in outcome.entry.items()}
    return Outcome(entry, tuple(map(own, outcome.notes)))


def _load(
    args: argparse.Namespace,
    options: RestoreOptions,
    device: str,
    settings: Mapping[str, Any],
    mask: Tensor | None,
    manifest: Path | None,
    name: str,
) -> Callable[[Sequence[Job]], list[Outcome]]:
    """In a worker's process: what restores a group of pictures."""
    weights = Path(model_path(args.model_path) if args.model_path else shipped_model())
    if settings["model"] is not None and sha256(weights) != settings["model"]:
        raise OptionError(
            f"{weights} is another model here than where the job was started. Put the one file where every "
            "machine finds it, or install one version of gpen-nodes everywhere."
        )
    part = None if manifest is None else Manifest.part_of(manifest, worker_name())
    stopped = threading.Event()
    delivery = Delivery(part, name, worker_name())
    restoring, engines = load_restoring(
        args, options, weights, [torch.device(device)], settings, mask, delivery, stopped
    )

    def work(jobs: Sequence[Job]) -> list[Outcome]:
        try:
            with nullcontext() if part is None else part.held():
                results = [*restored_here(jobs, restoring, engines, stopped)]
        except Exception as error:
            return [failed(job, error) for job in jobs]
        return [failed(job, one) if isinstance(one, Exception) else one for job, one in results]

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
