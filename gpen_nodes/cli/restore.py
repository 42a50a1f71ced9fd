"""``gpen-nodes restore``: pictures in, pictures with restored faces out."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..atomic import remedy, replacing
from ..errors import FaceError, GpenError, OptionError
from ..faces import ORDERS, RestoreOptions, judge_crop
from ..host import LocalHost
from ..image_files import ImageFile, write_image_file
from ..images import resize
from ..inference import BACKENDS, DTYPES, Restorer, get_restorer
from ..pipeline import check_aligned, restore_image
from ..weight_files import model_path, shipped_model
from .inputs import add_max_pixels, plan_outputs, read_input, say
from .options import add_options, chosen_options

__all__ = ["add_parsers"]

# What the command offers of ``RestoreOptions``; the help shows them in this order.
OPTIONS = (
    *("detector", "detector_weights", "quarter_turns", "template", "min_score", "min_face", "max_faces"),
    *("order", "strength", "softness", "match_colour", "colour", "keep_detail", "grain"),
    *("keep_front", "guard_identity"),
)


def add_parsers(commands: Any) -> None:
    """Register ``restore``."""
    p = commands.add_parser(
        "restore",
        help="restore the faces of photos",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Restore faces. With --face_align every face of a photo is found, restored and pasted "
        "back; without it each input is one aligned face crop, and so is the output.",
    )
    p.add_argument("--input", "-i", nargs="+", required=True, metavar="PATH", help="files, folders, patterns")
    p.add_argument("--output", "-o", metavar="PATH", help="file or folder; else beside the input, _restored")
    p.add_argument(
        "--model_path",
        metavar="FILE",
        help="checkpoint, or a name that gpen-nodes models lists; else the small model of the pack",
    )
    p.add_argument("--size", type=int, metavar="PX", help="check that the model restores at this size")
    p.add_argument("--face_align", action="store_true", help="find, align, restore and paste back every face")
    add_options(p, RestoreOptions(), OPTIONS, order=ORDERS)
    add_max_pixels(p)
    p.add_argument("--device", help="such as cpu, cuda:1, mps; else the best one")
    p.add_argument("--dtype", choices=["auto", *sorted(DTYPES)], default="auto")
    p.add_argument(
        "--backend",
        choices=list(BACKENDS),
        default="folded",
        metavar="NAME",
        help="what runs the network: %(choices)s",
    )
    p.add_argument(
        "--cuda_graphs",
        action="store_true",
        help="on CUDA, launch a face's kernels all at once; takes the card's memory for the whole run",
    )
    p.add_argument("--save_faces", metavar="DIR", help="also write each face, before and after")
    p.add_argument(
        "--compare", action="store_true", help="also write before | after beside the output, _compare"
    )
    p.add_argument("--report", metavar="FILE", help="write what was done to each face as JSON")
    p.add_argument("--overwrite", action="store_true", help="allow an output to replace an input")
    p.add_argument(
        "--force", action="store_true", help="restore even what does not look like an aligned face"
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Restore every input; 1 if any failed."""
    options = chosen_options(args, RestoreOptions(), OPTIONS)
    _check_device(args.device)
    pairs = plan_outputs(args.input, args.output, suffix="_restored")
    if not args.overwrite:
        _spare_inputs(pairs)
    restorer = get_restorer(
        model_path(args.model_path) if args.model_path else shipped_model(),
        args.dtype,
        LocalHost(args.device).device,
        backend="cuda_graphs" if args.cuda_graphs else args.backend,
    )
    if args.size is not None and args.size != restorer.size:
        raise OptionError(
            f"--size {args.size} contradicts the checkpoint, which restores at {restorer.size} px. "
            "Leave --size out or choose another --model_path."
        )
    entries: list[dict[str, Any]] = []
    try:
        for source, target in tqdm(pairs, desc="pictures", unit="", disable=len(pairs) < 2 or None):
            entries.append(_attempt(source, target, restorer, options, args))
    finally:
        if args.report:
            _write_report(args.report, entries)
    return _summarise(entries)


def _write_report(report: str, entries: list[dict[str, Any]]) -> None:
    try:
        with replacing(Path(report)) as path:
            path.write_text(json.dumps({"images": entries}, indent=2) + "\n")
    except OSError as error:
        raise OptionError(f"--report {report} cannot be written: {remedy(error)}") from error


def _check_device(device: str | None) -> None:
    if device is not None:
        try:
            torch.zeros(1, device=device)
        except Exception as error:  # Each backend has its own way to say that it is not there.
            reason = str(error).strip().splitlines()[0]
            raise OptionError(f"--device {device} cannot be used here: {reason}") from error


def _spare_inputs(pairs: list[tuple[Path, Path]]) -> None:
    inputs = {source.resolve() for source, _ in pairs}
    for _, target in pairs:
        if target.resolve() in inputs:
            raise OptionError(
                f"{target} is an input and would be replaced. Name another --output, or add --overwrite."
            )


def _attempt(
    source: Path, target: Path, restorer: Restorer, options: RestoreOptions, args: argparse.Namespace
) -> dict[str, Any]:
    """Restore one file and say what became of it. A failure is told, recorded, and stops no other file."""
    entry: dict[str, Any] = {"input": str(source), "output": None, "faces": []}
    try:
        picture = read_input(source, args.max_pixels)
        if picture.damage:
            entry["damage"] = list(picture.damage)
        entry["faces"] = _restore_file(source, picture, target, restorer, options, args)
        entry["output"] = str(target)
    except GpenError as error:
        entry["error"] = str(error)
    except (OSError, RuntimeError, ValueError, MemoryError) as error:
        entry["error"] = f"{type(error).__name__}: {error}"
    if "error" in entry:
        say(f"{source}: {entry['error']}")
    return entry


def _restore_file(
    source: Path,
    picture: ImageFile,
    target: Path,
    restorer: Restorer,
    options: RestoreOptions,
    args: argparse.Namespace,
) -> list[dict[str, Any]]:
    restored, reports = (_restore_photo if args.face_align else _restore_crop)(
        source, picture, restorer, options, args
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    write_image_file(target, restored, like=picture, overwrite=True)
    if args.compare:
        before = resize(picture.image, *restored.shape[1:3])
        both = torch.cat((before, restored), dim=2)
        like = dataclasses.replace(picture, alpha=None)
        write_image_file(
            target.with_name(f"{target.stem}_compare{target.suffix}"), both, like=like, overwrite=True
        )
    return reports


def _restore_photo(
    source: Path, picture: ImageFile, restorer: Restorer, options: RestoreOptions, args: argparse.Namespace
) -> tuple[Tensor, list[dict[str, Any]]]:
    with tqdm(desc="faces", unit="", leave=False, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        host = LocalHost(args.device, show)
        result = restore_image(picture.image, restorer, options, host=host)
    if not result.reports:
        say(f"{source}: no face found; the picture is unchanged. A lower --min_score finds more.")
    if args.save_faces:
        for k, (before, after) in enumerate(zip(result.aligned, result.faces, strict=True)):
            _save_face(args.save_faces, f"{source.stem}_face{k:02d}", before.crop, after.crop)
    return result.image, [report.to_dict() for report in result.reports]


def _restore_crop(
    source: Path, picture: ImageFile, restorer: Restorer, options: RestoreOptions, args: argparse.Namespace
) -> tuple[Tensor, list[dict[str, Any]]]:
    """The whole picture is one aligned face; the result has the model's size."""
    if not args.force:
        try:
            check_aligned(picture.image, options, host=LocalHost(args.device))
        except FaceError as error:
            raise FaceError(
                f"{error} Add --face_align to find and align the faces of a photo, or --force to restore it "
                "as it is."
            ) from error
    crop = resize(picture.image, restorer.input_size, restorer.input_size)
    restored = restorer.restore(crop, LocalHost(args.device))
    before = resize(crop, *restored.shape[1:3])
    face, judgement, _ = judge_crop(before[0], restored[0], options)
    restored = torch.lerp(before, face[None], options.paste.strength)
    if args.save_faces:
        _save_face(args.save_faces, source.stem, crop[0], restored[0])
    height, width = picture.image.shape[1:3]
    found = {
        "box": [0, 0, width, height],
        "landmarks": None,
        "score": None,
        "size": float(min(width, height)),
    }
    decided = None if judgement is None else judgement.to_dict()
    return restored, [
        found | {"image_index": 0, "selected": True, "restored": True, "why": "", "judgement": decided}
    ]


def _save_face(folder: str, name: str, before: Tensor | None, after: Tensor | None) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for when, crop in (("aligned", before), ("restored", after)):
        if crop is not None:
            write_image_file(Path(folder) / f"{name}_{when}.png", crop, overwrite=True)


def _summarise(entries: list[dict[str, Any]]) -> int:
    failed = [entry for entry in entries if "error" in entry]
    restored = sum(face["restored"] for entry in entries for face in entry["faces"])
    if len(entries) > 1 or failed:
        say(f"{len(entries) - len(failed)} of {len(entries)} pictures done, {restored} faces restored.")
    else:
        say(f"{entries[0]['output']}: {restored} face{'' if restored == 1 else 's'} restored.")
    return 1 if failed else 0
