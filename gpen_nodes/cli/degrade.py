"""``gpen-nodes degrade``: make good pictures bad in the documented ways, for tests and comparisons."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch

from ..degradation import EVALUATION_RECIPE, DegradationRecipe, degrade
from ..errors import OptionError
from ..image_files import write_image_file
from .inputs import add_max_pixels, plan_outputs, read_input

__all__ = ["add_parsers"]


def add_parsers(commands: Any) -> None:
    """Register ``degrade``."""
    p = commands.add_parser("degrade", help="blur, shrink, add noise and compress, as a test of restoring")
    p.add_argument("--input", "-i", nargs="+", required=True, metavar="PATH", help="files, folders, patterns")
    p.add_argument("--output", "-o", metavar="PATH", help="file or folder; else beside the input, _degraded")
    p.add_argument("--seed", type=int, default=0, help="the same seed degrades the same way (default: 0)")
    p.add_argument(
        "--evaluation",
        action="store_true",
        help="the fixed recipe of the published figures and not random ranges",
    )
    for field in dataclasses.fields(DegradationRecipe):
        if isinstance(field.default, tuple):
            low, high = field.default
            p.add_argument(
                f"--{field.name}",
                type=float,
                nargs=2,
                metavar=("LOW", "HIGH"),
                help=f"default: {low:g} {high:g}",
            )
    add_max_pixels(p)
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Degrade every input and print the values that were drawn."""
    recipe = EVALUATION_RECIPE if args.evaluation else DegradationRecipe()
    ranges = {name: tuple(v) for name, v in vars(args).items() if isinstance(v, list) and name != "input"}
    recipe = dataclasses.replace(recipe, **ranges)
    generator = torch.Generator().manual_seed(args.seed)
    for source, target in plan_outputs(args.input, args.output, suffix="_degraded"):
        if target.resolve() == source.resolve():
            raise OptionError(f"{target} is the input. Name another --output.")
        picture = read_input(source, args.max_pixels)
        degraded, drawn = degrade(picture.image, recipe, generator)
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        write_image_file(target, degraded, like=picture, overwrite=True)
        print(f"{target}: {drawn[0]}")
    return 0
