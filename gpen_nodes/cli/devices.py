"""Devices by the names that the user gives them, and networks on them."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from ..batch import Engine, StoppableHost
from ..errors import OptionError
from ..host import LocalHost
from ..inference import Restorer, Restorers, get_restorer

__all__ = ["chosen_devices", "load_engines", "threads_for"]


def chosen_devices(args: argparse.Namespace) -> list[torch.device]:
    if args.device is not None and args.devices is not None:
        raise OptionError("--device and --devices are given: leave one out.")
    names: list[str | None] = [args.device]
    if args.devices is not None:
        names = []
        for part in args.devices.split(","):
            name, _, count = part.strip().partition("*")
            if not name or (count and not count.isdecimal()) or count == "0":
                raise OptionError(f"--devices {args.devices}: expected such as cuda:0,cuda:1 or cpu*2.")
            names += [name] * int(count or 1)
    for name in dict.fromkeys(names):
        _check_device(name, "--device" if args.devices is None else "--devices")
    return [LocalHost(name).device for name in names]


def _check_device(device: str | None, option: str) -> None:
    if device is not None:
        try:
            torch.zeros(1, device=device)
        except Exception as error:  # Each backend has its own way to say that it is not there.
            reason = str(error).strip().splitlines()[0]
            raise OptionError(f"{option} {device} cannot be used here: {reason}") from error


def load_engines(
    args: argparse.Namespace,
    weights: Sequence[Path],
    devices: list[torch.device],
    stopped: threading.Event,
) -> list[Engine]:
    """Each device with the networks of all files of ``weights``."""
    backend = "cuda_graphs" if args.cuda_graphs else args.backend
    first = [get_restorer(path, args.dtype, devices[0], backend=backend, task=args.task) for path in weights]
    for one in first:
        if args.size is not None and args.size != one.size:
            raise OptionError(
                f"--size {args.size} contradicts the checkpoint, which restores at {one.size} px. "
                "Leave --size out or choose another --model_path."
            )
    engines = [Engine(_as_one(first), StoppableHost(devices[0], stopped))]
    for device in devices[1:]:
        copies = [
            Restorer.from_file(str(path), one.dtype, device, backend=backend, task=one.task)
            for path, one in zip(weights, first, strict=True)
        ]
        engines.append(Engine(_as_one(copies), StoppableHost(device, stopped)))
    return engines


def _as_one(restorers: list[Restorer]) -> Restorer | Restorers:
    return restorers[0] if len(restorers) == 1 else Restorers(restorers)


@contextmanager
def threads_for(devices: list[torch.device]) -> Iterator[None]:
    """Share the cores among several networks on the CPU: with fewer threads, last bits may differ."""
    before, count = torch.get_num_threads(), sum(device.type == "cpu" for device in devices)
    if count > 1:
        torch.set_num_threads(max(1, before // count))
    try:
        yield
    finally:
        torch.set_num_threads(before)
