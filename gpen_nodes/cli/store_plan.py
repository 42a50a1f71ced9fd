"""What ``gpen-nodes restore`` is going to do with pictures in an object store."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..batch import (
    Job,
    Manifest,
    Shard,
    Store,
    check_plan,
    is_address,
    is_safe_name,
    named_and_counted,
    object_key,
    plan_jobs,
)
from ..errors import ImageError, OptionError
from ..faces import RestoreOptions
from ..image_files import is_image_file_name
from .restore_plan import RestorePlan, chosen_settings

__all__ = ["StorePlan", "names_store", "plan_stores"]


@dataclass(frozen=True)
class StorePlan(RestorePlan):
    """A plan whose paths begin with ``source`` or ``target``, which stand for addresses.

    Attributes:
        addresses: of the folder of pictures, and of the folder above the output.
        keys: of each picture, by its output.
        scratch: where ``lines`` lie while the plan is needed.
        lines: the manifest as the store had it.
    """

    addresses: Mapping[str, str]
    keys: Mapping[Path, str]
    scratch: tempfile.TemporaryDirectory[str]
    lines: Manifest

    def shown(self, path: Path) -> str:
        first, *others = path.parts
        return "/".join([self.addresses[first], *others])

    def entry(self, job: Job) -> dict[str, Any] | None:
        record = self.lines.find(job.below(Path(self.scratch.name))) if job.output in self.finished else None
        return record and record.entry

    def folders(self) -> set[Path]:
        return set()  # Nothing is written on this machine.


def names_store(args: argparse.Namespace) -> bool:
    return any(is_address(text) for text in (*args.input, args.output or "", args.save_faces or ""))


def plan_stores(args: argparse.Namespace, options: RestoreOptions, weights: Sequence[Path]) -> StorePlan:
    """As ``plan_restoring``, for addresses.

    Raises:
        GpenError: options that do not fit them, or a store that does not answer.
    """
    source, output = _addresses(args)
    above, _, name = output.address.rpartition("/")
    names, left_out = _pictures(source, output)
    jobs = plan_jobs(
        ((Path("source", one), Path(one)) for one in names),
        f"target/{name}/",
        suffix="",
        compare=args.compare,
    )
    shard = Shard.parse(args.shard) if args.shard else None
    jobs = [job for job in jobs if shard is None or shard.has(job.name)]
    settings = chosen_settings(args, options, weights)
    scratch = tempfile.TemporaryDirectory(prefix="gpen-nodes-")
    lines = Path(scratch.name, "target")
    Store(above).get_all(f"{name}.manifest*.jsonl", lines)
    there = {f"target/{name}/{one}": size for one, (size, _) in output.find().items()}
    plan = StorePlan(
        f"{name}.manifest",
        jobs,
        set(),
        left_out,
        settings,
        None,
        {"source": source.address, "target": above},
        {job.output: object_key(names[job.name], settings) for job in jobs},
        scratch,
        Manifest(lines / f"{name}.manifest.jsonl"),
    )
    _check(plan, args, there)
    if not args.redo:
        plan.finished.update(job.output for job in jobs if _is_finished(plan, job, there))
    return plan


def _addresses(args: argparse.Namespace) -> tuple[Store, Store]:
    said = f"--input {args.input[0]} --output {args.output}"
    if args.ray is None:
        raise OptionError(f"{said}: addresses are for --ray, which needs no cluster but can start its own.")
    if (
        len(args.input) != 1
        or args.output is None
        or not (is_address(args.input[0]) and is_address(args.output))
    ):
        raise OptionError(
            f"{said}: expected two addresses of folders, such as s3://bucket/photos. A disk is file:///mnt/photos."
        )
    if args.save_faces:
        raise OptionError(f"--save_faces {args.save_faces}: not with addresses. Leave it out.")
    source, output = Store(args.input[0]), Store(args.output)
    if source.address == output.address:
        raise OptionError(f"{said}: the pictures would be replaced. Name another --output.")
    return source, output


def _pictures(source: Store, output: Store) -> tuple[dict[str, tuple[int, str]], list[str]]:
    """Pictures below an address, and a sentence on what is left out."""
    own = f"{output.address}/"
    found = {name: known for name, known in source.find().items() if is_image_file_name(name)}
    found = {name: known for name, known in found.items() if not f"{source.address}/{name}".startswith(own)}
    unsafe = [name for name in found if not is_safe_name(name)]
    left_out = []
    if unsafe:
        what = named_and_counted(unsafe, "object", "objects")
        left_out.append(f"{source.address}: left out, as no file can have their names: {what}.")
    names = {name: found[name] for name in sorted(found.keys() - unsafe)}
    if not names:
        raise ImageError(" ".join([f"{source.address} holds no picture.", *left_out]))
    return names, left_out


def _check(plan: StorePlan, args: argparse.Namespace, there: Mapping[str, int]) -> None:
    """Make sure that nobody's object is replaced.

    Raises:
        OptionError: names the first.
    """
    scratch = Path(plan.scratch.name)
    try:
        check_plan([job.below(scratch) for job in plan.jobs], report=args.report)
    except OptionError as error:
        said = str(error).replace(f"{scratch}/source", plan.addresses["source"])
        raise OptionError(said.replace(f"{scratch}/target", plan.addresses["target"])) from error
    for job in plan.jobs:
        for path in job.files():
            if path.as_posix() in there and not args.overwrite and not plan.lines.lists(scratch / path):
                raise OptionError(
                    f"{plan.shown(path)} is there already, and not from this job. Name another --output, or "
                    "add --overwrite."
                )


def _is_finished(plan: StorePlan, job: Job, there: Mapping[str, int]) -> bool:
    record = plan.lines.find(job.below(Path(plan.scratch.name)))
    if record is None or record.key != plan.keys[job.output]:
        return False
    return all(there.get(f"target/{name}") == size for name, (size, _) in record.files.items())
