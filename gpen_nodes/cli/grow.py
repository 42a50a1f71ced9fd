"""``gpen-nodes grow`` and ``init-from-stylegan2``: models to train on, made from others without a photo."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parsers"]


def add_parsers(commands: Any) -> None:
    """Register both commands; what they need is imported when they run."""
    p = commands.add_parser(
        "grow",
        help="double the size of a model, or widen it, without changing what it does",
        description="Double the size of a model, once or several times, or give it more channels. It starts "
        "as the same function, and training goes on from there.",
    )
    p.add_argument("input", metavar="IN", help="weights of any layout")
    p.add_argument("output", metavar="OUT", help="file to write, in IN's layout, or .safetensors")
    p.add_argument(
        "--to", type=int, metavar="PX", help="side of the new model's pictures (default: the double)"
    )
    p.add_argument(
        "--narrow", type=float, help="width of the new model, as 0.5; without --to its size stays as it is"
    )
    p.set_defaults(run=_grow)

    p = commands.add_parser(
        "init-from-stylegan2",
        help="make a model to train, whose generator is a StyleGAN2",
        description="Start a GPEN from a StyleGAN2 checkpoint of rosinality/stylegan2-pytorch: mapper and "
        "generator are taken, the encoder is new. It restores nothing before it is trained.",
    )
    p.add_argument("input", metavar="IN", help="StyleGAN2 checkpoint; of several networks g_ema is taken")
    p.add_argument("output", metavar="OUT", help="file to write: .pth or .safetensors")
    p.add_argument("--seed", type=int, default=0, help="of the new tensors (default: 0)")
    p.set_defaults(run=_init)


def _grow(args: argparse.Namespace) -> int:
    import torch

    from ..checkpoints import Checkpoint, read_checkpoint, write_checkpoint
    from ..checkpoints.checkpoint import UNKNOWN
    from ..model import Gpen
    from ..model.growing import grow
    from ..model.widening import widen

    source = read_checkpoint(args.input)
    model = Gpen.from_state_dict(source.state)
    told = {"version": source.version, "license": source.licence}  # The rest is about another network.
    if args.narrow is not None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = widen(model, args.narrow)
        told["version"] += f", widened to {args.narrow:g}"
    if args.to is not None or args.narrow is None:
        model = grow(model, args.to)
        told["version"] += f", grown to {model.config.size} px"
    known = {name: value for name, value in told.items() if not value.startswith(UNKNOWN)}
    grown = Checkpoint(model.state_dict(), model.config, known)
    is_bundle = source.layout == "bundle" and Path(args.output).suffix.lower() != ".safetensors"
    write_checkpoint(grown, args.output, "bundle" if is_bundle else None)
    print(f"{args.output}: {model.config}")
    return 0


def _init(args: argparse.Namespace) -> int:
    import torch

    from ..checkpoints import Checkpoint, write_checkpoint
    from ..checkpoints.read import read_tensors
    from ..model.stylegan2 import init_from_stylegan2

    state = read_tensors(args.input)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        model, fate = init_from_stylegan2(state)
    told = {"version": f"untrained, generator of {Path(args.input).name}"}
    write_checkpoint(Checkpoint(model.state_dict(), model.config, told), args.output)
    print(f"{args.output}: {model.config}\n{fate}")
    return 0
