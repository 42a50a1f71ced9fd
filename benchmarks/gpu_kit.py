"""A CUDA device's figures in one run: forwards, bandwidth, memory, detection, a large photo, a training step.

Sections take turns until the time is over; what is left by then is "not measured". ``gpu.sh`` runs it after
the tests. A forward is the median of its runs; MB are the most that torch held on the device in them. GB/s is
the traffic of a network whose layers each read and write once, divided by the time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import gpu
from report import Row, describe_machine, table, write_json
from variants import RELEASED, Case, network, prepare

KINDS = ("module", "folded", "graph", "compile")
DTYPES = ("fp32", "bf16", "fp16")
BATCHES = (1, 4, 16)
FORWARD = {
    "size": ("size", "d"),
    "variant": ("variant", "s"),
    "batch": ("batch", "d"),
    "ms": ("ms a face", ".2f"),
    "mb": ("GPU MB", ".0f"),
    "gb_s": ("GB/s", ".0f"),
}
OTHERS = {"what": ("what", "s"), "seconds": ("seconds", ".3f"), "mb": ("GPU MB", ".0f")}


def timed(run: Callable[[], Any], device: str, runs: int = 5) -> tuple[float, float]:
    """Seconds, and the most MB held, of a run that has been made once before."""
    import torch

    on_gpu = device != "cpu"
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    run()
    wait()
    if on_gpu:
        torch.cuda.empty_cache()  # what earlier rows left is none of this one's
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        wait()
        seconds.append(time.perf_counter() - start)
    return median(seconds), torch.cuda.max_memory_reserved() / 1e6 if on_gpu else 0.0


def forward(case: Case, kind: str, dtype: str, batch: int, device: str) -> Row:
    """One row's milliseconds and memory. The module computes in 16 bits by autocast, ``compile`` is of it."""
    import numpy as np
    import torch

    faces = torch.from_numpy(np.load(case.picture)).to(device).expand(batch, -1, -1, -1).contiguous()
    is_module = kind in ("module", "compile")
    name = "module-fp32" if is_module else f"folded-{dtype}" + ("-graph" if kind == "graph" else "")
    run: Any = network(name, case.weights, device)
    if kind == "compile":
        run = torch.compile(run)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(dtype, torch.float32)
    with torch.no_grad(), torch.autocast(device, half, enabled=is_module and dtype != "fp32"):
        seconds, megabytes = timed(lambda: run(faces), device)
    return {"ms": 1e3 * seconds / batch, "mb": megabytes, "seconds": seconds / batch}


def forwards(device: str, folder: Path) -> Iterator[Row]:
    """Rows of every size, kind, dtype and batch, yet to be measured: ``run`` does it."""
    orders = [(kind, batch) for batch in BATCHES for kind in KINDS if kind != "compile"]
    orders += [("compile", 1)]  # last, since it takes a minute
    cases = {
        size: Case(folder / f"{size}.safetensors", folder / str(size)) for size in RELEASED if size >= 512
    }
    for kind, batch in orders:
        for size, case in cases.items():
            for dtype in DTYPES:
                row: Row = {"size": size, "variant": f"{kind}-{dtype}", "batch": batch}
                yield row | {"run": lambda c=case, s=size, a=(kind, dtype, batch): _forward(c, s, device, *a)}


def _forward(case: Case, size: int, device: str, kind: str, dtype: str, batch: int) -> Row:
    if not case.weights.exists():
        case.folder.mkdir(exist_ok=True)
        prepare(case, size)
    row = forward(case, kind, dtype, batch, device)
    return row | {"gb_s": gpu.least_traffic(case) * (4 if dtype == "fp32" else 2) / row["seconds"] / 1e9}


def others(device: str, photo: str | None) -> Iterator[Row]:
    """Rows of what is no forward."""
    from pipeline import enlarged, read_photo

    import gpen_nodes

    # Made when a row asks for it: what fails costs no other row.
    picture = cache(lambda: enlarged(read_photo(photo), 7680))
    host = gpen_nodes.LocalHost(device)

    def detect(detector: str) -> Row:
        found = []
        seconds, megabytes = timed(
            lambda: found.append(gpen_nodes.detect_faces(picture(), detector=detector, device=device)),
            device,
            3,
        )
        return {"what": f"{detector}, 8K photo, {len(found[-1])} faces", "seconds": seconds, "mb": megabytes}

    def whole() -> Row:
        restorer = gpen_nodes.get_restorer(gpen_nodes.shipped_model(), "auto", device)
        found = []
        seconds, megabytes = timed(
            lambda: found.append(gpen_nodes.restore_image(picture(), restorer, host=host)), device, 3
        )
        what = f"8K photo end to end, {len(found[-1].reports)} faces"
        return {"what": what, "seconds": seconds, "mb": megabytes}

    def train(precision: str) -> Row:
        import torch
        from train_variants import Case as TrainCase
        from train_variants import _ours

        faces = tuple(torch.rand(4, 3, 256, 256, device=device) * 2 - 1 for _ in range(2))
        take = _ours(TrainCase(256, 0.5, 4, 1, 1), faces, precision, accelerator=device)
        seconds, megabytes = timed(lambda: take(1), device)
        return {"what": f"training step, 4 faces of 256 px, {precision}", "seconds": seconds, "mb": megabytes}

    for detector in ("retinaface_resnet50", "retinaface_mobile0.25", "mtcnn"):
        yield {"what": detector, "run": lambda name=detector: detect(name)}
    yield {"what": "8K photo end to end", "run": whole}
    for precision in ("32-true", "bf16-mixed"):
        yield {"what": f"training step, {precision}", "run": lambda name=precision: train(name)}


def measure(rows: Iterator[Row], until: float, keep: Callable[[list[Row]], None]) -> None:
    """Run each that has time; a failure becomes what its row says.

    Args:
        keep: called with the rows so far after each one, which may be the last before a time limit kills us.
    """
    done: list[Row] = []
    for row in rows:
        run = row.pop("run")
        done.append(row)
        if time.monotonic() < until:
            try:
                row |= run()
            except Exception as error:
                row["unavailable"] = (str(error).strip().splitlines() or [type(error).__name__])[0]
            keep(done)
    keep(done)


def write(folder: Path, name: str, first: list[Row], second: list[Row]) -> None:
    """``gpu.md`` and ``gpu.json`` of the rows so far."""
    text = f"{name}\n\n{table(first, FORWARD)}\n\n{table(second, OTHERS)}\n"
    (folder / "gpu.md").write_text(text)
    write_json([{"machine": name}, *first, *second], folder / "gpu.json")


def main() -> int:
    """Measure, write ``gpu.json`` and ``gpu.md``, print the latter."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=360, metavar="N", help="for all (default: 360)")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="for gpu.json and gpu.md")
    parser.add_argument(
        "--photo", metavar="FILE", help="with faces; else scikit-image's astronaut, six times"
    )
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))  # The package beside us.
    import torch

    if not torch.cuda.is_available():
        sys.exit("torch finds no CUDA device here, so nothing was measured.")
    until = time.monotonic() + args.seconds
    bandwidth = gpu.copy_bandwidth() / 1e9
    name = f"{gpu.describe()}, copies at {bandwidth:.0f} GB/s; {describe_machine('torch')}"
    kept: dict[str, list[Row]] = {"forwards": [], "others": []}

    def keep(part: str, rows: list[Row]) -> None:
        kept[part] = rows
        write(args.out, name, kept["forwards"], kept["others"])

    measure(others("cuda", args.photo), until - args.seconds / 2, partial(keep, "others"))
    with tempfile.TemporaryDirectory() as folder:
        measure(forwards("cuda", Path(folder)), until, partial(keep, "forwards"))
    print((args.out / "gpu.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
