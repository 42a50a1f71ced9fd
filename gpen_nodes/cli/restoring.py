"""What restores the pictures of ``gpen-nodes restore``, loaded where it runs."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..batch import Delivery, Engine, Job, Restoring, Steps, overlapped
from ..errors import OptionError
from ..faces import RestoreOptions
from .devices import load_engines
from .inputs import allow_large_images

__all__ = ["load_restoring", "restored_here"]


def load_restoring(
    args: argparse.Namespace,
    options: RestoreOptions,
    weights: Sequence[Path],
    devices: Sequence[torch.device],
    settings: Mapping[str, Any],
    mask: Tensor | None,
    delivery: Delivery,
    stopped: threading.Event,
) -> tuple[Restoring, list[Engine]]:
    """The steps of a picture, and a network on each device.

    Raises:
        GpenError: the model cannot be loaded, or is not for what the options ask.
    """
    engines = load_engines(args, weights, list(devices), stopped)
    task = engines[0].restorer.task
    if mask is not None and task != "inpaint":
        raise OptionError(f"--mask is for models that fill, and {weights[0]} is to {task}. Leave --mask out.")
    restoring = Restoring(
        options,
        dict(settings),
        delivery,
        engines[0].restorer.input_sizes,
        [engine.host for engine in engines],
        face_align=args.face_align,
        force=args.force,
        max_pixels=args.max_pixels,
        task=task,
        mask=mask,
    )
    return restoring, engines


def restored_here(
    jobs: Sequence[Job],
    restoring: Restoring,
    engines: list[Engine],
    stopped: threading.Event,
    before: Callable[[Job], object] = lambda job: None,
) -> Generator[tuple[Job, Any], None, None]:
    """Each job with its outcome or error, by the threads of this process.

    Args:
        before: called before a picture is read.
    """
    allow_large_images()

    def prepare(job: Job) -> Any:
        before(job)
        return restoring.prepare(job)

    steps = Steps(prepare, restoring.restore, restoring.finish, stopped.set)
    faces = max(engine.restorer.chunk(engine.host.device) for engine in engines)
    # Torch's own threads stay as they are: another number of them changes last bits of what is found.
    workers = max(1, min(8, (os.cpu_count() or 1) // 4))
    return overlapped(jobs, steps, engines, faces=faces, workers=workers)
