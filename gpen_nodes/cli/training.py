"""``gpen-nodes prepare`` and ``train``: from photos to a model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..errors import MissingWeightsError, OptionError

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
    p.set_defaults(run=_prepare)

    p = commands.add_parser("train", help="train one stage of a model on aligned faces")
    p.add_argument("config", help="TOML file of the stage, see weights/recipe")
    p.add_argument("faces", help="folder that prepare has written")
    p.add_argument("folder", help="of the run; a run that was stopped goes on from here")
    p.add_argument("--start", metavar="FILE", help="checkpoint to go on from; one of half the size is grown")
    p.add_argument("--embedder", metavar="FILE", help="MobileFaceNet.onnx, for the identity term")
    p.add_argument("--processes", type=int, default=1, help="processes that train together (default: 1)")
    p.set_defaults(run=_train)


def _prepare(args: argparse.Namespace) -> int:
    from ..training.prepare import prepare_faces

    count, failed = prepare_faces(
        args.photos, args.faces, size=args.size, template=args.template, min_face=args.min_face
    )
    for line in failed:
        print(line, file=sys.stderr)
    print(f"{count} faces in {args.faces}, {len(failed)} photos without.")
    return 0


def _embedder(path: str | None) -> Any:
    from ..faces.identity import FaceEmbedder

    return FaceEmbedder.load(path) if path else None


def _read_toml(path: str) -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib  # pyright: ignore[reportMissingImports]  # there on 3.10 alone
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # a TOMLDecodeError is a ValueError, and so is another encoding
        raise OptionError(f"{path} cannot be read as TOML: {error}.") from error


def _train(args: argparse.Namespace) -> int:
    try:
        from lightning_fabric import Fabric

        from ..training import TrainingConfig, train
    except ModuleNotFoundError as error:
        raise MissingWeightsError(f"Training needs {error.name}: pip install 'gpen-nodes[train]'.") from error
    from ..checkpoints import read_checkpoint
    from ..model import Gpen

    config = TrainingConfig.from_dict(_read_toml(args.config))
    start = Gpen.from_state_dict(read_checkpoint(args.start).state) if args.start else None
    fabric = Fabric(devices=args.processes, precision=config.precision)
    train(config, args.faces, args.folder, start=start, embedder=_embedder(args.embedder), fabric=fabric)
    print(f"{args.folder}/model.safetensors")
    return 0
