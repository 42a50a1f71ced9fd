"""``gpen-nodes prepare`` and ``train``: from photos to a model."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..errors import MissingWeightsError

__all__ = ["add_parsers"]


def add_parsers(commands: Any) -> None:
    """Register the commands; what they need is imported when they run."""
    p = commands.add_parser("prepare", help="find and align the faces of a folder of photos, for training")
    p.add_argument("photos", help="folder, searched with its subfolders")
    p.add_argument("faces", help="folder for the aligned faces")
    p.add_argument(
        "--size", type=int, default=256, metavar="PX", help="side of the aligned faces (default: 256)"
    )
    p.add_argument("--template", default="gpen", help="gpen (default) or ffhq")
    p.add_argument(
        "--min_face", type=float, default=64, metavar="PX", help="leave out smaller faces (default: 64)"
    )
    p.add_argument(
        "--min_true_size",
        type=float,
        metavar="PX",
        help="leave out faces that cover fewer of their photo's pixels a side, aligned (default: --size; "
        "0 keeps them)",
    )
    p.add_argument(
        "--max_blur",
        type=float,
        default=0.7,
        metavar="X",
        help="leave out faces that are blurred more, from 0 (sharp) to 1 (default: 0.7; 1 keeps them)",
    )
    p.add_argument(
        "--same_picture",
        type=float,
        default=0.99,
        metavar="X",
        help="correlation from which two faces are one picture, of which the larger stays (default: 0.99; "
        "2 keeps both)",
    )
    p.add_argument(
        "--embedder", metavar="FILE", help="MobileFaceNet.onnx, to know by likeness who is one person"
    )
    p.set_defaults(run=_prepare)

    p = commands.add_parser(
        "train",
        help="train one stage of a model on aligned faces",
        description="Train one stage of a model. A run that was stopped, or killed, goes on where it was.",
        epilog="example: gpen-nodes train --config configs/gpen-bfr-1024.toml faces=ffhq.zip batch=4",
    )
    p.add_argument(
        "--config", required=True, metavar="FILE", help="TOML file, see configs and weights/recipe"
    )
    p.add_argument(
        "overrides",
        nargs="*",
        metavar="name=value",
        help="goes before what the file says, such as run=runs/a",
    )
    p.add_argument("--dry-run", action="store_true", help="say what the run would take, and write nothing")
    p.set_defaults(run=_train)


def _prepare(args: argparse.Namespace) -> int:
    from ..training.prepare import LEFT_OUT, prepare_faces

    names = ("size", "template", "min_face", "min_true_size", "max_blur", "same_picture", "embedder")
    count, lines = prepare_faces(args.photos, args.faces, **{name: getattr(args, name) for name in names})
    for line in lines:
        print(line, file=sys.stderr)
    left_out = sum(line.startswith(LEFT_OUT) for line in lines)
    more = f", {left_out} faces left out" if left_out else ""
    print(f"{count} faces in {args.faces}, {len(lines) - left_out} photos without{more}.")
    return 0


def _train(args: argparse.Namespace) -> int:
    try:
        from ..training.loop import make_fabric, plan, train
    except ModuleNotFoundError as error:
        raise MissingWeightsError(f"Training needs {error.name}: pip install 'gpen-nodes[train]'.") from error
    from ..training import read_config

    config = read_config(args.config, args.overrides)
    fabric = make_fabric(config)
    if args.dry_run:
        text = plan(config, fabric=fabric)
    else:
        train(config, fabric=fabric)
        text = f"{config.run}/model.safetensors"
    if fabric.is_global_zero:
        print(text)
    return 0
