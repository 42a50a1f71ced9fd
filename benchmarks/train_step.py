"""Time a training step of this package beside the original training script's, on the CPU.

Same network, same batch, L1 and adversarial terms on both sides, no data loading. Each variant runs in a
process of its own; they take turns, and seconds are medians. A turn is four steps; in the original, one of
four has its path length regularisation, which GPEN's loss does not list and this package leaves out. The rows
"no-path" are the original without it. The gradient penalty (one step of sixteen on both sides) is left out.

  wall s, CPU s    a step; CPU seconds of all threads
  × fp32, × bf16   CPU seconds of the original in that precision, divided by the row's; with --wall, of wall

The original is yangxy/GPEN; GPEN_REFERENCE names a checkout of it. bf16 is torch.autocast on both sides.
Afterwards faces a second of ``gpen-nodes train --dry-run``, degradation included, with one process and two.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from measure import Turns, Worker, take_turns
from report import Row, describe_machine, table, write_json
from train_variants import VARIANTS, Case

COLUMNS = {
    "narrow": ("narrow", ".2f"),
    "variant": ("variant", "s"),
    "wall_s": ("wall s", ".2f"),
    "cpu_s": ("CPU s", ".2f"),
    "rss_mb": ("peak MB", ".0f"),
    "over_fp32": ("× fp32", ".2f"),
    "over_bf16": ("× bf16", ".2f"),
}
FACES_COLUMNS = {
    "narrow": ("narrow", ".2f"),
    "variant": ("processes", "s"),
    "faces_s": ("faces/s", ".2f"),
}


def make_rows(case: Case, turns: Turns, clock: str) -> list[Row]:
    """A row for each variant, in the order of VARIANTS."""
    seconds = {name: median(getattr(s, clock) for s in samples) for name, samples in turns.samples.items()}
    rows = []
    for name in VARIANTS:
        row: Row = {"narrow": case.narrow, "variant": name}
        if name in turns.failed:
            row["unavailable"] = turns.failed[name]
        elif name in seconds:
            samples = turns.samples[name]
            row |= {"wall_s": median(s.wall_s for s in samples), "cpu_s": median(s.cpu_s for s in samples)}
            row["rss_mb"] = max(s.peak_mb for s in samples)
            for precision in ("fp32", "bf16"):
                base = seconds.get(f"original-{precision}")
                row[f"over_{precision}"] = base / seconds[name] if base else None
        else:
            continue
        rows.append(row)
    return rows


def faces_per_second(case: Case, processes: int) -> Row:
    """Of a dry run on made-up faces: two processes have one thread each, one has as many as torch takes."""
    row: Row = {"narrow": case.narrow, "variant": str(processes)}
    with tempfile.TemporaryDirectory() as name:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from gpen_nodes.facesets import FaceStore

        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 256, (65, case.size, case.size, 3), dtype=np.uint8)
        FaceStore.write(name, pixels, [str(n) for n in range(len(pixels))])
        config = Path(name, "config.toml")
        options = {"size": case.size, "narrow": case.narrow, "style_dim": 512, "mapping_depth": 8}
        options |= {"batch": case.batch, "adversarial": 1.0, "discriminator_size": case.size}
        options["steps"] = 100
        config.write_text("".join(f"{key} = {value}\n" for key, value in options.items()))
        run = subprocess.run(
            [
                *(sys.executable, "-m", "gpen_nodes", "train", "--config", str(config), "--dry-run"),
                *(f"faces={name}", f"processes={processes}", 'precision="bf16-mixed"'),
            ],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
            check=False,
        )
    found = re.search(r"([\d.]+) faces/s", run.stdout)
    if found:
        row["faces_s"] = float(found[1])
    else:
        row["unavailable"] = (run.stderr.strip().splitlines() or ["no answer"])[-1]
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the JSON; the exit status: 1 if nothing could be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--narrow", type=float, nargs="+", default=[0.25, 0.5], help="default: 0.25 0.5")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="default: 256")
    parser.add_argument("--batch", type=int, default=2, help="faces a step (default: 2)")
    parser.add_argument("--steps", type=int, default=4, help="in a turn (default: 4)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="rounds (default: 3)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of each variant (default: 1)")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument(
        "--wall", action="store_true", help="ratios of wall time: on a machine without others"
    )
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2], help="of the dry runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    args = parser.parse_args(arguments)
    rows, dry = [], []
    for narrow in args.narrow:
        case = Case(args.size, narrow, args.batch, args.steps, args.threads)
        workers = {name: Worker(_load, name, case) for name in args.variants}
        turns = take_turns(workers, args.runs, f"narrow {narrow:g}")
        rows += make_rows(case, turns, "wall_s" if args.wall else "cpu_s")
        dry += [faces_per_second(case, processes) for processes in args.processes]
    print(f"{describe_machine('torch')}; {args.size} px, batch {args.batch}, {args.threads} threads\n")
    print(table(rows, COLUMNS))
    if dry:
        print(f"\n{table(dry, FACES_COLUMNS)}")
    write_json(rows + dry, args.json)
    return int(all("unavailable" in row for row in rows))


def _load(variant: str, case: Case):
    sys.path.insert(0, str(Path(__file__).parents[1]))  # The package beside us.
    from train_variants import load

    return load(variant, case)


if __name__ == "__main__":
    sys.exit(main())
