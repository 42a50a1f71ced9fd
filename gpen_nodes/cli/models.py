"""``gpen-nodes convert`` and ``gpen-nodes inspect``: weight files without pictures."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..checkpoints import Checkpoint

__all__ = ["add_parsers"]


def add_parsers(subparsers: Any) -> None:
    """Register both commands on argparse's ``subparsers``; each sets ``run``, arguments to exit status."""
    convert = subparsers.add_parser(
        "convert",
        help="write a weight file in another layout or precision",
        description="Read weights in any layout and write them in another, without optimizer state.",
    )
    convert.add_argument("source", metavar="IN", help="weights: .pth, .pt or .safetensors")
    convert.add_argument("target", metavar="OUT", help="file to write; one that is there is replaced")
    convert.add_argument(
        "--layout",
        choices=("flat", "bundle", "safetensors"),
        help="default: safetensors if OUT ends so; else flat, or bundle for a ResNet-50 encoder",
    )
    convert.add_argument("--half", action="store_true", help="store 16-bit floating point")
    convert.add_argument("--legacy", action="store_true", help="the serialisation of torch before 1.6")
    convert.set_defaults(run=_convert)
    inspect = subparsers.add_parser(
        "inspect",
        help="tell what a weight file holds",
        description="Tell a weight file's network, sizes, widths, precision, version and licence.",
    )
    inspect.add_argument("file", metavar="FILE")
    inspect.set_defaults(run=_inspect)


def _convert(args: argparse.Namespace) -> int:
    import torch

    from ..checkpoints import read_checkpoint, write_checkpoint

    checkpoint = read_checkpoint(args.source)
    dtype = torch.float16 if args.half else None
    write_checkpoint(checkpoint, args.target, args.layout, dtype, args.legacy)
    _print(read_checkpoint(args.target))
    return 0


def _inspect(args: argparse.Namespace) -> int:
    from ..checkpoints import read_checkpoint

    _print(read_checkpoint(args.file))
    return 0


def _print(checkpoint: Checkpoint) -> None:
    from ..checkpoints import describe

    facts = describe(checkpoint)
    width = max(map(len, facts))
    for label, fact in facts.items():
        print(f"{label:<{width}}  {fact}")
