"""A folder of photos: overlapped steps beside one photo after the other, in seconds, cores and memory.

Both do the same work in this process and write the same bytes; they take turns, so that whatever else the
machine does meets both. With ``--memory N`` also how memory grows over N photos.

    python benchmarks/folder.py --photos 24 --size 1600 1200
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from measure import resident_mb
from report import write_json

import gpen_nodes
from gpen_nodes import RestoreOptions, from_uint8, get_restorer
from gpen_nodes.batch import Delivery, Engine, Job, Restoring, Steps, StoppableHost, overlapped
from gpen_nodes.images import resize


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="of photos; else scikit-image's astronaut, enlarged")
    parser.add_argument("--photos", type=int, default=16, help="how many, in turn")
    parser.add_argument("--size", type=int, nargs=2, default=[1600, 1200], metavar=("W", "H"))
    parser.add_argument("--suffix", default=".jpg", help="of what is read and written")
    parser.add_argument("--weights", help="checkpoint; else the model that ships with the pack")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--memory", type=int, default=0, metavar="N", help="also over so many photos")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run = _Folder(args, Path(scratch))
        seconds: dict[str, list[float]] = {"alone": [], "overlapped": []}
        cores: dict[str, list[float]] = {"alone": [], "overlapped": []}
        for way in seconds:
            run.time(way, 2)  # warms up
        for _ in range(args.rounds):
            for way, taken in seconds.items():
                busy = time.process_time()
                whole = run.time(way, args.photos)
                cores[way].append((time.process_time() - busy) / whole)
                taken.append(whole / args.photos)
                said = f"{way}: {taken[-1]:.3f} s a photo, {cores[way][-1]:.2f} cores busy"
                print(said, file=sys.stderr, flush=True)
        row: dict[str, Any] = {f"{way}_s": statistics.median(taken) for way, taken in seconds.items()}
        row |= {f"{way}_cores": statistics.median(busy) for way, busy in cores.items()}
        ratios = [a / b for a, b in zip(seconds["alone"], seconds["overlapped"], strict=True)]
        row |= {"times_as_fast": statistics.median(ratios), "ratios": ratios, "same_bytes": run.same_bytes()}
        if args.memory:
            row["memory"] = run.memory(args.memory)
        print(row)
        write_json([row], args.json)


class _Folder:
    """Photos, a network, and both ways to do them."""

    def __init__(self, args: argparse.Namespace, scratch: Path) -> None:
        self._scratch, self._workers, self._suffix = scratch, args.workers, args.suffix
        self._photos = sorted(args.folder.iterdir()) if args.folder else [_photo(scratch, args)]
        restorer = get_restorer(args.weights or gpen_nodes.shipped_model(), args.dtype, args.device)
        self._engine = Engine(restorer, StoppableHost(args.device, threading.Event()))

    def _jobs(self, count: int, way: str) -> Iterator[Job]:
        for number, photo in enumerate(itertools.islice(itertools.cycle(self._photos), count)):
            name = f"{number % 50}{self._suffix}"
            yield Job(photo, self._scratch / way / name, name)

    def _steps(self) -> Steps[Any, Any, Any]:
        delivery = Delivery(None, "benchmark")
        sizes = self._engine.restorer.input_sizes
        options = RestoreOptions()
        one = Restoring(options, {}, delivery, sizes, [self._engine.host], face_align=True)
        return Steps(one.prepare, one.restore, one.finish)

    def time(self, way: str, count: int) -> float:
        start = time.perf_counter()
        for _, outcome in self.results(way, count):
            if isinstance(outcome, Exception):
                raise outcome
        return time.perf_counter() - start

    def results(self, way: str, count: int) -> Iterator[tuple[Job, Any]]:
        steps, jobs = self._steps(), self._jobs(count, way)
        if way == "overlapped":
            faces = self._engine.restorer.chunk(self._engine.host.device)
            yield from overlapped(jobs, steps, [self._engine], faces=faces, workers=self._workers)
            return
        for job in jobs:
            picture = steps.prepare(job)
            (crops,) = steps.restore(self._engine, [picture.crops])
            yield job, steps.finish(job, picture, crops)

    def same_bytes(self) -> bool:
        ways = (self._scratch / way for way in ("alone", "overlapped"))
        alone, other = (sorted(folder.glob(f"*{self._suffix}")) for folder in ways)
        return [p.read_bytes() for p in alone] == [p.read_bytes() for p in other]

    def memory(self, count: int) -> dict[str, float]:
        """MB that the process holds, after the first 50 photos, at the most and the least after them, and at
        the end; CPU seconds a photo in the first and the second half of those."""
        held, busy = [], []
        for _ in self.results("overlapped", count):
            held.append(resident_mb())
            busy.append(time.process_time())
            if len(held) % 50 == 0:
                said = f"{len(held)} photos: {held[-1]:.0f} MB, {busy[-1]:.0f} CPU s"
                print(said, file=sys.stderr, flush=True)
        start = min(50, count // 2)
        middle, late = (start + count) // 2, held[start:]
        row = {"after_50": late[0], "most": max(late), "least": min(late), "last": late[-1]}
        row["first_half_cpu_s"] = (busy[middle] - busy[start]) / (middle - start)
        return row | {"second_half_cpu_s": (busy[-1] - busy[middle]) / (count - 1 - middle)}


def _photo(scratch: Path, args: argparse.Namespace) -> Path:
    from skimage import data

    width, height = args.size
    image = torch.cat([from_uint8(data.astronaut())[None]] * 2, dim=2)
    path = scratch / f"photo{args.suffix}"
    gpen_nodes.write_image_file(path, resize(image, height, width))
    return path


if __name__ == "__main__":
    main()
