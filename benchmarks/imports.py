"""What importing this package adds to a host that has torch, numpy, OpenCV and Pillow already.

Every figure is the median over fresh processes of what ``python -X importtime`` reports, once Python has
compiled the files. ComfyUI's nodes need ComfyUI, or the tests' stub of it:

    PYTHONPATH=tests/hosts/stub python benchmarks/imports.py gpen_nodes comfyui_extension.nodes
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import write_json

HOST = "import torch, numpy, cv2, PIL.Image"
COMPILED = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
LINE = re.compile(r"import time: +(\d+) \| +(\d+) \|( +)(\S+)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("modules", nargs="*", default=["gpen_nodes"], help="imported one after the other")
    parser.add_argument("--runs", type=int, default=7, help="processes")
    parser.add_argument("--heaviest", type=int, default=6, help="modules to list under each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    args = parser.parse_args()
    _import(args.modules)  # which compiles the files
    rows = _rows([_import(args.modules) for _ in range(args.runs)], args.heaviest)
    print(f"milliseconds, median of {args.runs} processes")
    for row in rows:
        print(f"{row['module']:44}{row['total_ms']:8.1f}")
        for name, own in row["heaviest_ms"].items():
            print(f"    {name:40}{own:8.1f}  by itself")
    write_json(rows, args.json)


def _import(modules: list[str]) -> dict[str, dict[str, float]]:
    """For each module: its own and every newly imported module's own time in ms, in one new process."""
    command = [sys.executable, "-X", "importtime", "-c", "; ".join([HOST, *(f"import {m}" for m in modules)])]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=COMPILED)
    if run.returncode:
        sys.exit(f"{' '.join(modules)} cannot be imported here: {run.stderr.strip().splitlines()[-1]}")
    return {name: inside for name, inside in _top_level(run.stderr) if name in modules}


def _top_level(report: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Each module that no other imported, and the own times of all that it imported, itself included."""
    inside: dict[str, float] = {}
    for own, _, indent, name in LINE.findall(report):
        inside[name] = int(own) / 1000
        if len(indent) == 1:  # a module comes after what it imports
            yield name, inside
            inside = {}


def _rows(runs: list[dict[str, dict[str, float]]], heaviest: int) -> list[dict[str, Any]]:
    rows = []
    for module in runs[0]:
        own: defaultdict[str, list[float]] = defaultdict(list)
        for run in runs:
            for name, value in run[module].items():
                own[name].append(value)
        medians = {name: statistics.median(values) for name, values in own.items()}
        slowest = sorted(medians, key=medians.__getitem__, reverse=True)[:heaviest]
        rows.append(
            {
                "module": module,
                "total_ms": statistics.median(sum(run[module].values()) for run in runs),
                "heaviest_ms": {name: medians[name] for name in slowest},
            }
        )
    return rows


if __name__ == "__main__":
    main()
