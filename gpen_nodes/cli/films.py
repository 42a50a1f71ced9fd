"""``gpen-nodes restore`` for films: each is read twice and written whole."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..atomic import remedy
from ..batch import Job, StoppableHost, check_plan, check_room, signals_interrupt
from ..errors import GpenError, OptionError, printable
from ..faces import RestoreOptions
from ..films import VIDEO_SUFFIXES, FilmOptions, open_film, restore_film
from ..image_files import read_image_file
from ..weight_files import model_paths, shipped_model
from .devices import chosen_devices, load_engines, threads_for
from .inputs import say
from .options import add_options, chosen_options
from .tally import write_report

__all__ = ["add_film_options", "are_films", "run_films"]

OPTIONS = ("stability", "tracks", "likeness")
# What the command offers for photos alone.
_FOR_PHOTOS = ("compare", "save_faces", "shard", "ray", "force", "size")


def add_film_options(parser: argparse.ArgumentParser) -> None:
    """Register what films alone have."""
    group = parser.add_argument_group("films", "MP4, MKV, WebM, MOV …, by the extra video")
    group.add_argument(
        "--film", action="store_true", help="take a folder of frames or an animated picture as a film"
    )
    add_options(group, FilmOptions(), OPTIONS)
    group.add_argument("--like", metavar="FILE", help="a photo of the only person to restore in films")
    group.add_argument("--encoder", metavar="NAME", help="FFmpeg's name, such as libx265 or h264_nvenc")
    group.add_argument("--crf", type=float, metavar="N", help="constant quality, on the encoder's scale")


def are_films(args: argparse.Namespace) -> bool:
    """Whether the inputs are films.

    Raises:
        OptionError: films and photos are mixed, or an option is one of films alone.
    """
    films = [text for text in args.input if args.film or text.lower().endswith(VIDEO_SUFFIXES)]
    if films and len(films) < len(args.input):
        raise OptionError(f"{films[0]} is a film and others are not: restore films and photos in two calls.")
    if not films:
        defaults = FilmOptions().described()
        given = [name for name in ("like", "encoder", "crf") if getattr(args, name) is not None]
        given += [name for name in OPTIONS if getattr(args, name) != defaults[name].default]
        if given:
            more = " A folder of frames and an animated picture want --film."
            raise OptionError(f"--{given[0]} is for films, and {args.input[0]} is none.{more}")
    return bool(films)


def run_films(args: argparse.Namespace, options: RestoreOptions) -> int:
    """Restore every film; 1 if any failed."""
    if given := [name for name in _FOR_PHOTOS if getattr(args, name) not in (None, False)]:
        raise OptionError(f"--{given[0]} is for photos; a film has none of it. Leave it out.")
    film_options = chosen_options(args, FilmOptions(restore=options), OPTIONS)
    weights = model_paths(args.model_path) if args.model_path else [shipped_model()]
    jobs = _plan(args.input, args.output)
    check_plan(jobs, report=args.report, overwrite=args.overwrite, kept=weights)
    if args.dry_run:
        for job in jobs:
            print(printable(f"{job.source} -> {job.output}"))
        print(f"{len(jobs)} to be done. Nothing was written.")
        return 0
    check_room(jobs)
    person = read_image_file(args.like).image if args.like else None
    devices, stopped, entries = chosen_devices(args)[:1], threading.Event(), []
    with signals_interrupt(), threads_for(devices):
        (engine,) = load_engines(args, weights, devices, stopped)
        for job in jobs:
            entries.append(_attempt(job, args, film_options, engine.restorer, devices[0], stopped, person))
    if args.report:
        write_report(args.report, "films", entries)
    return 1 if any("error" in entry for entry in entries) else 0


def _plan(inputs: Sequence[str], output: str | None) -> list[Job]:
    """Where each film goes: to the file or folder that was named, or beside it, ``_restored``."""
    file = output is not None and Path(output).suffix and not os.path.isdir(output)
    named = bool(file) and len(inputs) == 1
    if output is not None and len(inputs) > 1 and Path(output).suffix.lower() in VIDEO_SUFFIXES:
        raise OptionError(f"{len(inputs)} films cannot all become {output}; name a folder as the output.")
    jobs = []
    for text in inputs:
        source = Path(text)
        target = source.with_name(f"{source.stem}_restored{source.suffix}")
        if output is not None:
            folder = source.is_dir()  # frames go right into the folder that was named
            target = Path(output) if named or (folder and len(inputs) == 1) else Path(output, source.name)
        jobs.append(Job(source, target, source.name, named))
    return jobs


def _attempt(
    job: Job,
    args: argparse.Namespace,
    options: FilmOptions,
    restorer: Any,
    device: Any,
    stopped: threading.Event,
    person: Any,
) -> dict[str, Any]:
    """One film; its entry in the report."""
    entry: dict[str, Any] = {"input": str(job.source), "output": str(job.output)}
    host = _Host(device, stopped)
    try:
        film = open_film(job.source, encoder=args.encoder, crf=args.crf)
        job.output.parent.mkdir(parents=True, exist_ok=True)
        with host:
            choices = restore_film(film, job.output, restorer, options, person=person, host=host)
    except (GpenError, OSError) as error:
        said = str(error) if isinstance(error, GpenError) else remedy(error)
        say(f"{job.source}: {said}")
        return entry | {"output": None, "tracks": [], "error": said}
    for sentence in (*film.notes, *choices):
        say(f"{job.source}: {sentence}")
    restored = sum(one.selected for one in choices)
    say(f"{job.output}: {restored} of {len(choices)} faces restored.")
    return entry | {"tracks": [one.to_dict() for one in choices], "notes": list(film.notes)}


class _Host(StoppableHost):
    """Shows how far each pass is."""

    _bar: tqdm | None = None
    _name = ""

    def stage(self, name: str, done: int, total: int) -> None:
        if self._bar is None or self._name != name:
            self._close()
            self._name = name
            self._bar = tqdm(desc=name, unit=" frames", disable=None)
        self._bar.total, self._bar.n = total, done
        self._bar.refresh()

    def __enter__(self) -> _Host:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
