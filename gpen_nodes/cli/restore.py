"""``gpen-nodes restore``: pictures in, pictures with restored faces out."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Generator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..batch import (
    Delivery,
    Engine,
    Job,
    Outcome,
    Restored,
    Restoring,
    check_room,
    failed,
    signals_interrupt,
)
from ..checkpoints import TASKS
from ..errors import ImageError, OptionError, printable
from ..faces import ORDERS, RestoreOptions
from ..host import LocalHost
from ..images import gray_rgb
from ..inference import BACKENDS, DTYPES
from ..pipeline import restore_image
from ..weight_files import CATALOGUE as WEIGHT_FILES
from ..weight_files import is_checkpoint_name, model_paths, shipped_model
from .cluster import add_ray_option, restored_on_ray
from .devices import chosen_devices, threads_for
from .films import add_film_options, are_films, run_films
from .inputs import add_max_pixels, allow_large_images, read_input, say
from .options import add_options, chosen_options
from .restore_plan import RestorePlan, plan_restoring
from .restoring import load_restoring, restored_here
from .store_plan import names_store, plan_stores
from .tally import Tally, write_report

__all__ = ["add_parsers"]

# What the command offers of ``RestoreOptions``; the help shows them in this order.
OPTIONS = (
    *("detector", "detector_weights", "quarter_turns", "template", "min_score", "min_face", "max_faces"),
    *("order", "strength", "softness", "match_colour", "colour", "keep_detail", "grain"),
    *("keep_front", "face_parser", "guard_identity"),
)


def add_parsers(commands: Any) -> None:
    """Register ``restore``."""
    p = commands.add_parser(
        "restore",
        help="restore the faces of photos",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Restore faces. With --face_align every face of a photo is found, restored and pasted "
        "back; without it each input is one aligned face crop, and so is the output. Of films the faces are "
        "always found, and followed.",
    )
    p.add_argument("paths", nargs="*", metavar="PATH", help="as --input")
    p.add_argument("--input", "-i", nargs="+", default=[], metavar="PATH", help="files, folders, patterns")
    p.add_argument("--output", "-o", metavar="PATH", help="file or folder; else beside the input, _restored")
    p.add_argument(
        "--model_path",
        nargs="+",
        metavar="MODEL",
        help="checkpoint, or a name that gpen-nodes models lists; of several, of a folder, or of all "
        "that are at hand (auto), each face gets the smallest that covers it; else the pack's small model",
    )
    p.add_argument(
        "--task",
        choices=TASKS,
        help="what the model was trained to do; else what its file says or is called",
    )
    p.add_argument("--mask", metavar="FILE", help="for inpaint: white where the pictures are to be filled")
    p.add_argument("--size", type=int, metavar="PX", help="check that the model restores at this size")
    p.add_argument("--face_align", action="store_true", help="find, align, restore and paste back every face")
    add_options(p, RestoreOptions(), OPTIONS, order=ORDERS)
    add_max_pixels(p)
    _add_engine_options(p)
    p.add_argument("--save_faces", metavar="DIR", help="also write each face, before and after")
    p.add_argument(
        "--compare", action="store_true", help="also write before | after beside the output, _compare"
    )
    p.add_argument("--report", metavar="FILE", help="write what was done to each face as JSON")
    p.add_argument(
        "--overwrite", action="store_true", help="allow outputs to replace inputs and files of other origin"
    )
    p.add_argument("--dry_run", action="store_true", help="show which file becomes which, and do nothing")
    p.add_argument("--redo", action="store_true", help="also do what an earlier run of this job has finished")
    p.add_argument(
        "--shard", metavar="I/N", help="do only part I of N, for N machines that share the folders"
    )
    p.add_argument(
        "--force", action="store_true", help="restore even what does not look like an aligned face"
    )
    add_ray_option(p)
    add_film_options(p)
    p.set_defaults(run=run, usage_error=p.error)


def _add_engine_options(p: argparse.ArgumentParser) -> None:
    """On what the network runs, and how."""
    p.add_argument("--device", help="such as cpu, cuda:1, mps; else the best one")
    p.add_argument("--devices", metavar="LIST", help="several at once: cuda:0,cuda:1 or cpu*2")
    p.add_argument("--dtype", choices=["auto", *sorted(DTYPES)], default="auto")
    p.add_argument(
        "--backend",
        choices=["auto", *BACKENDS],
        default="folded",
        metavar="NAME",
        help="what runs the network: %(choices)s",
    )
    p.add_argument(
        "--cuda_graphs",
        action="store_true",
        help="on CUDA, launch a face's kernels all at once; takes the card's memory for the whole run",
    )


def run(args: argparse.Namespace) -> int:
    """Restore every input; 1 if any failed."""
    args.input = [*args.paths, *args.input]
    if not args.input and args.model_path:
        args.model_path, args.input = _split(args.model_path)
    if not args.input:
        args.usage_error("name what is to be restored (--input)")
    options = chosen_options(args, RestoreOptions(), OPTIONS)
    if are_films(args):
        return run_films(args, options)
    devices = chosen_devices(args) if args.ray is None else []
    weights = model_paths(args.model_path) if args.model_path else [shipped_model()]
    mask = None if args.mask is None else _read_mask(args)
    plan = (plan_stores if names_store(args) else plan_restoring)(args, options, weights)
    if args.dry_run:
        return _show(plan, args)
    check_room(plan.pending)
    with ExitStack() as stack:
        stack.enter_context(signals_interrupt())
        stack.enter_context(threads_for(devices))
        if plan.manifest is not None:
            stack.enter_context(plan.manifest.held())
        delivery = Delivery(plan.manifest, plan.name)
        folders = plan.folders()
        delivery.clear(folders)
        if args.ray is None:
            stopped = threading.Event()
            restoring, engines = load_restoring(
                args, options, weights, devices, plan.settings, mask, delivery, stopped
            )
            if args.face_align and len(plan.pending) == 1:
                results = _one(plan.pending[0], restoring, engines[0])
            else:
                results = restored_here(plan.pending, restoring, engines, stopped)
        else:
            results = restored_on_ray(args, options, plan, mask)
        tally = Tally(keep=bool(args.report))
        try:
            _tell(plan, results, tally)
        finally:
            delivery.clear(folders)
            if args.report:
                places = {plan.shown(job.source): place for place, job in enumerate(plan.jobs)}
                entries = sorted(tally.entries, key=lambda entry: places[entry["input"]])
                write_report(args.report, "images", entries)
    return tally.summarise(len(plan.finished))


def _split(given: list[str]) -> tuple[list[str], list[str]]:
    """Models and, where ``--model_path`` came last, the inputs that follow them."""
    count = 1
    while count < len(given) and (given[count] in WEIGHT_FILES or is_checkpoint_name(given[count])):
        count += 1
    return given[:count], given[count:]


def _read_mask(args: argparse.Namespace) -> Tensor:
    """[1, H, W] in [0, 1]."""
    try:
        return gray_rgb(read_input(Path(args.mask), args.max_pixels).image)[..., 0]
    except ImageError as error:
        raise OptionError(f"--mask: {error}") from error


def _show(plan: RestorePlan, args: argparse.Namespace) -> int:
    """What would be done; nothing is read or written but the manifest."""
    for job in plan.jobs:
        files = [*map(plan.shown, job.files())]
        files += [f"{job.face_file(None, '')}"[:-5] + "_*.png"] if job.faces else []
        state = " (finished)" if job.output in plan.finished else ""
        print(printable(f"{plan.shown(job.source)} -> {', '.join(files)}{state}"))
    if args.report:
        print(printable(f"report -> {args.report}"))
    for sentence in plan.left_out:
        print(sentence)
    print(f"{len(plan.pending)} to be done, {len(plan.finished)} finished before. Nothing was written.")
    return 0


def _tell(plan: RestorePlan, results: Generator[tuple[Job, Any], None, None], tally: Tally) -> None:
    """Do the work, and tell what becomes of each picture."""
    allow_large_images()
    for sentence in plan.left_out:
        say(sentence)
    bar = tqdm(total=len(plan.jobs), desc="pictures", unit="", disable=len(plan.jobs) < 2 or None)
    with bar, closing(results):  # Its threads have ended before what they began is removed.
        for job in plan.jobs:
            if entry := plan.entry(job):
                tally.add(Outcome(_moved(entry, job, plan)))
                bar.update()
        for job, result in results:
            outcome = failed(job, result) if isinstance(result, Exception) else result
            notes = (note.replace(str(job.source), plan.shown(job.source)) for note in outcome.notes)
            tally.add(Outcome(_moved(outcome.entry, job, plan), tuple(notes)))
            bar.update()


def _moved(entry: dict[str, Any], job: Job, plan: RestorePlan) -> dict[str, Any]:
    """The entry of an earlier run or another machine, with the paths as they are called here and now."""
    output = None if entry["output"] is None else plan.shown(job.output)
    return entry | {"input": plan.shown(job.source), "output": output}


def _one(job: Job, restoring: Restoring, engine: Engine) -> Generator[tuple[Job, Any], None, None]:
    """What ``overlapped`` gives, for a photo that is alone."""
    yield job, _attempt(job, restoring, engine)


def _attempt(job: Job, restoring: Restoring, engine: Engine) -> Outcome | Exception:
    """One photo, with progress by its faces."""
    with tqdm(desc="faces", unit="", leave=False, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        host = LocalHost(engine.host.device, show)
        try:
            file, key = restoring.read(job)
            result = restore_image(
                file.image, engine.restorer, restoring.options, mask=restoring.mask, host=host
            )
            return restoring.write(job, file, key, Restored.of(result))
        except Exception as error:
            return error
