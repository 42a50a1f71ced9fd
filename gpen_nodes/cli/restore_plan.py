"""What ``gpen-nodes restore`` is going to do."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..batch import (
    Job,
    Manifest,
    Shard,
    check_plan,
    find_pictures,
    manifest_path,
    names_file,
    plan_jobs,
)
from ..checkpoints import find_task
from ..faces import RestoreOptions
from ..weight_files import sha256

__all__ = ["RestorePlan", "chosen_settings", "plan_restoring", "sums_of"]


@dataclass(frozen=True)
class RestorePlan:
    """What is to be done: all pictures of this part, and the outputs of those that are finished."""

    name: str
    jobs: list[Job]
    finished: set[Path]
    left_out: list[str]
    settings: dict[str, Any]
    manifest: Manifest | None

    @property
    def pending(self) -> list[Job]:
        return [job for job in self.jobs if job.output not in self.finished]

    def entry(self, job: Job) -> dict[str, Any] | None:
        """What the report says of a finished picture; a million of them would fill the memory."""
        record = self.manifest.find(job) if self.manifest and job.output in self.finished else None
        return record and record.entry

    def shown(self, path: Path) -> str:
        """A path as the user would write it."""
        return str(path)

    def folders(self) -> set[Path]:
        """All that are written to."""
        folders = {file.parent for job in self.jobs for file in job.files()}
        folders |= {job.faces.parent for job in self.jobs if job.faces}
        return {Path(os.path.realpath(folder)) for folder in folders}


def plan_restoring(args: argparse.Namespace, options: RestoreOptions, weights: Sequence[Path]) -> RestorePlan:
    shard = Shard.parse(args.shard) if args.shard else None
    named = args.output is not None and names_file(args.output)
    top = Path(args.input[0]) if os.path.isdir(args.input[0]) else Path(args.input[0]).parent
    path = manifest_path(args.output, top, shard)
    # One file that the user named is made anew each time; of others beside it, we must know whose they are.
    manifest = None if named and not (args.compare or args.save_faces) else Manifest(path)
    below = [] if args.output is None or named else [Path(os.path.realpath(args.output))]
    below += [Path(os.path.realpath(args.save_faces))] if args.save_faces else []
    pictures = find_pictures(args.input, below, manifest.made_from_other if manifest else lambda _: False)
    jobs = plan_jobs(
        pictures.found, args.output, suffix="_restored", compare=args.compare, faces=args.save_faces
    )
    own = options.detect.detector_weights, options.judge.face_parser, args.mask
    kept = [*weights, *(Path(one) for one in own if one)]
    is_result = manifest.made if manifest else lambda _: False
    check_plan(jobs, report=args.report, overwrite=args.overwrite, is_result=is_result, kept=kept)
    settings = chosen_settings(args, options, weights)
    jobs = [job for job in jobs if shard is None or shard.has(job.name)]
    finished = set()
    if manifest is not None and not args.redo:
        finished = {job.output for job in jobs if manifest.is_finished(job, settings)}
    return RestorePlan(path.name, jobs, finished, pictures.left_out, settings, manifest)


def chosen_settings(
    args: argparse.Namespace, options: RestoreOptions, weights: Sequence[Path]
) -> dict[str, Any]:
    """All that decides what is written of a picture."""
    settings = {
        "model": sums_of(weights),
        "options": {name: option.default for name, option in options.described().items()},
        **{
            name: getattr(args, name)
            for name in ("dtype", "backend", "face_align", "force", "compare", "save_faces")
        },
    }
    task = args.task or find_task({}, weights[0])  # What the file itself says is in its sum.
    if task != "restore":
        settings |= {"task": task, "mask": sha256(Path(args.mask)) if args.mask else None}
    return settings


def sums_of(weights: Sequence[Path]) -> str | list[str | None] | None:
    """SHA-256 of each file, of one alone without a list; None of what is no file."""
    sums = [sha256(path) if path.is_file() else None for path in weights]
    return sums[0] if len(sums) == 1 else sums
