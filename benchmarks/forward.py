"""Time one face through GPEN: this package, the original code, ONNX Runtime and OpenVINO, in one table.

The rows of ONNX Runtime and OpenVINO run the module as torch exports it; those named backend- are this
package's backends, on a graph of its own.

Every variant runs in a process of its own; they take turns, and seconds are medians. Weights are random, of
the released widths and the same for all, unless --model names a checkpoint.

  wall s         on all threads
  CPU s          on one thread
  peak MB        the most memory that the process held while it ran, once it had loaded
  PSNR dB        against module-fp32, before clamping, peak 2; 150 where fp32 tells no difference
  × reference    times faster than the original by wall time; × module: than module-fp32

The original is yangxy/GPEN; GPEN_REFERENCE names a checkout of it. On a GPU, "graph" is the variant as one
CUDA graph, whose memory is never free: MB are what the process has reserved of the card. GB/s is the traffic
of a network whose layers each read and write once, divided by the time; the device's is that of a copy.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import gpu
import numpy as np
import variants
from measure import Sample, Turns, Unavailable, Worker, call, take_turns
from report import Row, describe_machine, table, write_json
from variants import Case

CPU_COLUMNS = {
    "size": ("size", "d"),
    "variant": ("variant", "s"),
    "wall_s": ("wall s", ".3f"),
    "cpu_s": ("CPU s", ".3f"),
    "rss_mb": ("peak MB", ".0f"),
    "psnr_db": ("PSNR dB", ".1f"),
    "over_reference": ("× reference", ".2f"),
    "over_module": ("× module", ".2f"),
}
GPU_COLUMNS = {
    "size": ("size", "d"),
    "variant": ("variant", "s"),
    "ms": ("ms", ".2f"),
    "gpu_mb": ("GPU MB", ".0f"),
    "psnr_db": ("PSNR dB", ".1f"),
    "gb_s": ("GB/s", ".0f"),
    "device_gb_s": ("device's GB/s", ".0f"),
    "over_module": ("× module", ".2f"),
}


def psnr(output: np.ndarray, expected: np.ndarray) -> float:
    """Decibels at peak 2; an error below the resolution of fp32 counts as that."""
    error = np.square(output - expected, dtype=np.float64).mean()
    return 10 * math.log10(4 / max(error, 2.0**-48))


def make_rows(case: Case, size: int, names: Sequence[str], turns: Turns) -> list[Row]:
    """A row for each variant: what every device measures, or why there is nothing."""
    wall = {name: median(s.wall_s for s in samples) for name, samples in turns.samples.items()}
    rows = []
    for name in names:
        row: Row = dict.fromkeys(("size", "variant", "wall_s", "cpu_s", "rss_mb", "psnr_db"))
        row |= {"size": size, "variant": name}
        if name in wall:
            row["wall_s"] = wall[name]
            row["psnr_db"] = psnr(np.load(case.output(name)), np.load(case.output("module-fp32")))
            for column, base in (("over_reference", "reference"), ("over_module", "module-fp32")):
                row[column] = wall[base] / wall[name] if base in wall else None
        else:
            row["unavailable"] = turns.failed[name]
        rows.append(row)
    return rows


def measure_on_cpu(case: Case, size: int, names: Sequence[str], runs: int, threads: int) -> list[Row]:
    """Each variant by itself on one thread, then all of them in turns on all threads."""
    failed = variants.lacking(names)
    if exported := [name for name in names if name in variants.EXPORTED and name not in failed]:
        try:
            call(variants.export, case)
        except Unavailable as reason:
            failed |= dict.fromkeys(exported, f"the export failed: {reason}")
    alone: dict[str, list[Sample]] = {}
    for name in names:
        if name not in failed:
            worker = Worker(variants.load, name, case, 1)
            turns = take_turns({name: worker}, min(runs, 2), f"{size} px, one thread")
            alone |= turns.samples
            failed |= turns.failed
    workers = {name: Worker(variants.load, name, case, threads) for name in alone}
    for name, samples in alone.items():
        workers[name].need_mb = max(s.peak_mb for s in samples)
    turns = take_turns(workers, runs, f"{size} px, {threads} threads")
    rows = make_rows(case, size, names, Turns(turns.samples, failed | turns.failed))
    for row in rows:
        if samples := turns.samples.get(row["variant"]):
            row["cpu_s"] = median(s.cpu_s for s in alone[row["variant"]])
            row["rss_mb"] = max(s.peak_mb for s in samples)
    return rows


def measure_on_gpu(case: Case, size: int, names: Sequence[str], runs: int) -> list[Row]:
    """All variants in turns."""
    turns = take_turns({name: Worker(gpu.load, name, case) for name in names}, runs, f"{size} px")
    rows = make_rows(case, size, names, turns)
    if not turns.samples:
        return rows
    values, bandwidth = call(gpu.least_traffic, case), call(gpu.copy_bandwidth)
    for row in rows:
        if samples := turns.samples.get(row["variant"]):
            row["ms"] = 1e3 * row["wall_s"]
            row["gpu_mb"] = max(s.peak_mb for s in samples)
            row["gb_s"] = values * (2 if "bf16" in row["variant"] else 4) / row["wall_s"] / 1e9
            row["device_gb_s"] = bandwidth / 1e9
    return rows


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked.

    Raises:
        SystemExit: an option is wrong; one sentence on stderr.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", metavar="PX", help="default: 256 512 1024 2048")
    on_cpu, on_gpu = ", ".join(variants.VARIANTS), ", ".join(variants.ON_GPU)
    parser.add_argument("--variants", nargs="+", metavar="NAME", help=f"of {on_cpu}; on CUDA of {on_gpu}")
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="a checkpoint, in the place of random weights"
    )
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="rounds (default: 5)")
    parser.add_argument("--threads", type=int, metavar="N", help="all threads (default: as torch chooses)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    args = parser.parse_args(arguments)
    known = variants.ON_GPU if args.device == "cuda" else tuple(variants.VARIANTS)
    args.variants = args.variants or known
    for found, expected in ((args.variants, known), (args.sizes or (), tuple(variants.RELEASED))):
        for value in found:
            if value not in expected:
                sys.exit(f"Found {value}; expected {', '.join(map(str, expected))}.")
    if args.model and args.sizes:
        sys.exit("A checkpoint has its own size: leave out --sizes, or --model.")
    if args.runs < 1 or (args.threads or 1) < 1:
        sys.exit("Found fewer than one run or thread; expected at least one.")
    if args.json and not args.json.parent.is_dir():
        sys.exit(f"{args.json.parent} is no folder; make it, or write --json elsewhere.")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON; the exit status: 1 if there was nothing to measure."""
    args = parse(arguments)
    sys.path.insert(0, str(Path(__file__).parents[1]))  # The package beside us; workers inherit it.
    for name, remedy in variants.lacking(args.variants).items():
        print(f"{name} lacks packages: {remedy}", file=sys.stderr)
    rows: list[Row] = []
    for size in [None] if args.model else args.sizes or variants.RELEASED:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            case = Case(args.model or folder / "weights.safetensors", folder)
            try:
                side, usual = call(variants.prepare, case, size)
            except Unavailable as reason:
                sys.exit(str(reason))
            args.threads = args.threads or usual
            if args.device == "cuda":
                rows += measure_on_gpu(case, side, args.variants, args.runs)
            else:
                rows += measure_on_cpu(case, side, args.variants, args.runs, args.threads)
        write_json(rows, args.json)
    nothing = all("unavailable" in row for row in rows)
    device = f"{args.threads} threads"
    if args.device == "cuda" and not nothing:
        device = call(gpu.describe)
    print(f"{describe_machine('torch', 'onnxruntime', 'openvino')}; {device}; {args.runs} rounds\n")
    print(table(rows, GPU_COLUMNS if args.device == "cuda" else CPU_COLUMNS))
    return int(nothing)


if __name__ == "__main__":
    sys.exit(main())
