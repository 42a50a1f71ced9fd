"""``gpen-nodes evaluate``: figures of models, and of what other systems made."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

    from ..evaluation.samples import Sample, Samples
    from ..evaluation.systems import System

__all__ = ["add_parsers"]


def add_parsers(commands: Any) -> None:
    """Register ``evaluate``; what it needs is imported when it runs."""
    p = commands.add_parser(
        "evaluate",
        help="measure models, and results of other systems, on faces",
        description="With --data: degrade aligned faces by a protocol, restore them by each model, and "
        "compare with the truth. Without: compare the pictures of --restored with those of --truth that have "
        "the same names, or measure them alone. Nothing is downloaded; a metric whose weights are missing is "
        "left out by name.",
    )
    p.add_argument(
        "--data",
        metavar="PLACE",
        help="aligned faces: what prepare has written, a folder of pictures, a zip file, or tar files",
    )
    p.add_argument("--protocol", default="portraits-256", metavar="NAME", help=_protocols())
    p.add_argument(
        "--model", nargs="+", default=[], metavar="FILE", help="checkpoints (default: the shipped)"
    )
    p.add_argument("--restored", nargs="+", default=[], metavar="DIR", help="pictures that systems restored")
    p.add_argument("--truth", metavar="DIR", help="the true pictures, where --restored is compared alone")
    p.add_argument(
        "--video", nargs="+", default=[], metavar="FILE", help="restored films; --truth is one, too"
    )
    p.add_argument(
        "--template", choices=("gpen", "ffhq"), help="alignment (default: the protocol's, or gpen)"
    )
    p.add_argument("--embedder", metavar="FILE", help="MobileFaceNet.onnx, for the identity cosine")
    p.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders with weights: vgg19_16x_5SE.pth for features and eyes, those of LPIPS, FID and NIQE",
    )
    p.add_argument(
        "--output", metavar="DIR", help="write figures.csv, summary.csv, table.md and sheets there"
    )
    p.add_argument("--save_pictures", action="store_true", help="also write every picture there")
    p.add_argument("--limit", type=int, metavar="N", help="only the first N pictures")
    p.add_argument("--device", help="such as cpu, cuda:1, mps; else the best one")
    p.set_defaults(run=_evaluate)


def _protocols() -> str:
    return "portraits-256 (default), portraits-512, held-out-512, celeba-hq or lfw; see docs/evaluation.md"


def _evaluate(args: argparse.Namespace) -> int:
    if args.video:
        return _films(args)
    from ..evaluation.compare import Comparison, compare
    from ..evaluation.measures import gather_measures
    from ..evaluation.report import Summary, write_report

    _check(args)
    samples, systems, template, title = _with_data(args) if args.data else _results_alone(args)
    measures = gather_measures(
        template=args.template or template, embedder=args.embedder, weights=args.weights
    )
    found, seen = Comparison(), _watcher(args, samples, systems)
    try:
        compare(samples, systems, measures, count=args.limit, seen=seen, into=found)
    finally:
        # Ctrl-C included: what was measured is kept.
        summary = Summary(found, measures)
        if args.output and found.rows:
            write_report(found, measures, summary, Path(args.output), title)
    print(f"{title}\n\n{summary.markdown()}", end="")
    for note in (*measures.left_out, *summary.gaps, *found.problems):
        print(note, file=sys.stderr)
    return 1 if found.problems else 0


def _films(args: argparse.Namespace) -> int:
    """How steady films are: flicker, jitter, identity, beside their truth."""
    from ..evaluation.film_comparison import compare_films, film_table
    from ..faces.identity import find_embedder
    from ..host import LocalHost

    if not args.truth or args.data or args.restored:
        raise OptionError(
            "--video compares films with the film of --truth alone; name that, and no pictures."
        )
    host = LocalHost(args.device)
    rows = compare_films(
        [Path(one) for one in args.video], Path(args.truth), host, find_embedder(args.embedder)
    )
    print(film_table(rows), end="")
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.save_pictures and not args.output:
        raise OptionError("--save_pictures has no place to write them; name an --output folder.")
    if args.data and args.truth:
        raise OptionError("--data brings its own truth. Leave --truth out, or --data.")
    if not args.data and (args.model or not args.restored):
        raise OptionError("Name the faces to restore (--data), or results to compare (--restored, --truth).")


def _with_data(args: argparse.Namespace) -> tuple[Samples, list[System], str, str]:
    from ..evaluation.protocols import PROTOCOLS
    from ..evaluation.samples import DegradedFaces
    from ..evaluation.systems import Bicubic, Unsharp, Untouched
    from ..facesets import number_names, open_faces

    if args.protocol not in PROTOCOLS:
        raise OptionError(f"Found protocol {args.protocol!r}; expected one of {', '.join(PROTOCOLS)}.")
    protocol = PROTOCOLS[args.protocol]
    faces = open_faces(args.data)
    baselines = [Untouched()] if None in protocol.levels.values() else [Untouched(), Bicubic(), Unsharp()]
    systems = [*baselines, *_models(args), *_results(args.restored)]
    title = f"{Path(args.data).name}, protocol {args.protocol}: {protocol.about}."
    return DegradedFaces(faces, number_names(faces.sources), protocol), systems, protocol.template, title


def _results_alone(args: argparse.Namespace) -> tuple[Samples, list[System], str, str]:
    from ..evaluation.samples import PictureFolder, TruePictures

    truth = PictureFolder(args.truth) if args.truth else None
    names = (truth or PictureFolder(args.restored[0])).names
    title = f"Compared with {args.truth}." if args.truth else "Without truth."
    return TruePictures(names, truth), _results(args.restored), "gpen", title


def _models(args: argparse.Namespace) -> list[System]:
    from ..evaluation.systems import Model
    from ..host import LocalHost
    from ..inference import get_restorer
    from ..weight_files import model_path, shipped_model

    host = LocalHost(args.device)
    paths = args.model or ([] if args.restored else [str(shipped_model())])
    restorers = [get_restorer(model_path(path), "fp32", host.device) for path in paths]
    return [Model(name, r, host) for name, r in zip(_labels(paths), restorers, strict=True)]


def _results(folders: Sequence[str]) -> list[System]:
    from ..evaluation.systems import Results

    return [Results(name, folder) for name, folder in zip(_labels(folders), folders, strict=True)]


def _labels(paths: Sequence[str]) -> list[str]:
    """Short names: the file's or folder's, and its folder's too where several have one name."""
    short = [Path(path).resolve().stem for path in paths]
    return [
        name if short.count(name) == 1 else f"{Path(path).resolve().parent.name}/{name}"
        for name, path in zip(short, paths, strict=True)
    ]


def _watcher(args: argparse.Namespace, samples: Samples, systems: Sequence[System]) -> Any:
    """Moves the progress bar, and writes the pictures if that is wanted."""
    from tqdm import tqdm

    from ..image_files import write_image_file

    count = min(args.limit or len(samples.names), len(samples.names))
    bar = tqdm(total=count * len(systems) * len(samples.levels), desc="pictures", unit="", disable=None)
    written: set[Path] = set()  # one truth is compared with many systems

    def seen(sample: Sample, system: str, picture: Tensor | None) -> None:
        for name, image in ((system, picture), ("truth", sample.truth)) if args.save_pictures else ():
            path = Path(args.output, "pictures", sample.level, name.replace("/", "-"), f"{sample.name}.png")
            if image is not None and path not in written:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image_file(path, image, overwrite=True)
                written.add(path)
        bar.update()
        if bar.n == bar.total:
            bar.close()

    return seen
