"""The least time that a face's convolutions can take on this processor's cores, with what torch has.

Every 3×3 convolution of a released architecture by itself, in bands of rows that stay in the cache, by the
quickest of oneDNN's direct convolution and this package's Winograd. Nothing else that a face needs is
counted: no modulation, no low-pass, no concatenation, no image.

  GFLOP      multiplications and additions of all of them, done directly
  best       GFLOP/s of the quickest direct convolution among them
  direct s   what they take if all were as quick as that
  least s    the sum of what each takes, Winograd where it is quicker

    python benchmarks/limit.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from report import Row, describe_machine, table, write_json
from torch import Tensor
from variants import RELEASED

sys.path.insert(0, str(Path(__file__).parents[1]))  # The package beside us.
from gpen_nodes import DTYPES, GpenConfig
from gpen_nodes.inference.folded.bands import band_rows
from gpen_nodes.inference.folded.kernels import transposed_conv2d
from gpen_nodes.inference.folded.winograd import F2, F4, winograd_conv2d, winograd_weight

VARIANTS = "fp32", "bf16"
COLUMNS = {
    "size": ("size", "d"),
    "variant": ("variant", "s"),
    "gflop": ("GFLOP", ".0f"),
    "best_gflop_s": ("best GFLOP/s", ".0f"),
    "direct_s": ("direct s", ".2f"),
    "least_s": ("least s", ".2f"),
}


class Layer(NamedTuple):
    """A 3×3 convolution, "same", "down" with stride 2 or "up" transposed, and the side of its output."""

    kind: str
    inputs: int
    outputs: int
    pixels: int

    @property
    def gflop(self) -> float:
        positions = (self.pixels // 2 if self.kind == "up" else self.pixels) ** 2
        return 2 * 9 * self.inputs * self.outputs * positions / 1e9


def layers(size: int) -> Iterator[Layer]:
    """Those of a released architecture. The generator's inputs are double: features are concatenated."""
    narrow, multiplier = RELEASED[size]
    widths = GpenConfig(size, size, narrow, multiplier).widths
    for pixels, width in widths.items():
        yield Layer("same", 2 * width, width, pixels)
        if pixels > 4:
            smaller = widths[pixels // 2]
            yield Layer("up", 2 * smaller, width, pixels)
            yield Layer("down", width, smaller, pixels // 2)


@cache
def seconds(layer: Layer, dtype: torch.dtype, runs: int) -> tuple[float, float]:
    """What a layer takes directly, and by the quickest way: the least of some runs."""
    kind, inputs, outputs, pixels = layer
    step = {"same": 1, "down": 2, "up": 0.5}[kind]
    row_bytes = int(step * step * pixels * inputs * dtype.itemsize)
    rows = band_rows(pixels, row_bytes, torch.device("cpu"))
    height, width = int(rows * step), int(pixels * step)
    border = {"same": 2, "down": 1, "up": 0}[kind]
    x = _random(1, inputs, height + border, width + border).to(dtype, memory_format=torch.channels_last)
    weight = _random(outputs, inputs, 3, 3)
    same = weight.to(dtype, memory_format=torch.channels_last)
    ways: list[Callable[[], Tensor]]
    if kind == "up":
        transposed = transposed_conv2d(weight.permute(1, 2, 3, 0).contiguous().to(dtype))
        ways = [lambda: transposed(x)]
    else:
        ways = [lambda: F.conv2d(x, same, stride=2 if kind == "down" else 1)]
    if kind == "same" and pixels >= 16:
        for form in (F4, F2) if dtype == torch.float32 else (F2,):
            tiles = winograd_weight(weight, form, dtype)
            ways.append(lambda tiles=tiles, form=form: winograd_conv2d(x, tiles, form))
    times = [_least(way, runs) * (pixels // rows) for way in ways]
    return times[0], min(times)


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _least(way: Callable[[], Tensor], runs: int) -> float:
    way()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        way()
        times.append(time.perf_counter() - start)
    return min(times)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", choices=RELEASED, default=list(RELEASED))
    parser.add_argument("--runs", type=int, default=7, help="of each layer; the quickest counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    args = parser.parse_args()
    rows: list[Row] = []
    for size in args.sizes:
        for variant in VARIANTS:
            dtype = DTYPES[variant]
            timed = {layer: seconds(layer, dtype, args.runs) for layer in layers(size)}
            gflop = sum(layer.gflop for layer in timed)
            best = max(layer.gflop / direct for layer, (direct, _) in timed.items())
            row: Row = {"size": size, "variant": variant, "gflop": gflop, "best_gflop_s": best}
            row |= {"direct_s": gflop / best, "least_s": sum(least for _, least in timed.values())}
            rows.append(row)
    print(f"{describe_machine('torch')}; {torch.get_num_threads()} threads\n")
    print(table(rows, COLUMNS))
    write_json(rows, args.json)


if __name__ == "__main__":
    main()
