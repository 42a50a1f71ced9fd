"""``gpen-nodes degrade``: make good pictures bad in the documented ways, for tests and comparisons."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch

from ..batch import check_plan, check_room, find_pictures, names_file, plan_jobs
from ..degradation import EVALUATION_RECIPE, DegradationRecipe, degrade
from ..image_files import write_image_file
from .inputs import add_max_pixels, read_input, say

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
    p.add_argument("--overwrite", action="store_true", help="replace files that are there, but no input")
    add_max_pixels(p)
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Degrade every input and print the values that were drawn."""
    recipe = EVALUATION_RECIPE if args.evaluation else DegradationRecipe()
    ranges = {name: tuple(v) for name, v in vars(args).items() if isinstance(v, list) and name != "input"}
    recipe = dataclasses.replace(recipe, **ranges)
    generator = torch.Generator().manual_seed(args.seed)
    below = [] if args.output is None or names_file(args.output) else [Path(args.output).resolve()]
    pictures = find_pictures(args.input, below)
    for sentence in pictures.left_out:
        say(sentence)
    jobs = plan_jobs(pictures.found, args.output, suffix="_degraded")
    check_plan(jobs, overwrite=args.overwrite, kept=[job.source for job in jobs])
    check_room(jobs)
    for job in jobs:
        picture = read_input(job.source, args.max_pixels)
        degraded, drawn = degrade(picture.image, recipe, generator)
        job.output.parent.mkdir(parents=True, exist_ok=True)
        write_image_file(job.output, degraded, like=picture, overwrite=True)
        print(f"{job.output}: {drawn[0]}")
    return 0
