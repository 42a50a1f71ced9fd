"""What became of a picture: what is written of it, and what is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..atomic import remedy
from ..errors import GpenError
from ..image_files import ImageFile
from ..pipeline import Restoration
from .plan import Job

__all__ = ["Outcome", "Restored", "failed", "notes_on"]


@dataclass(frozen=True)
class Outcome:
    """What became of a picture: its entry in the report, and what the user is told."""

    entry: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Restored:
    """What is to be written of a picture.

    Attributes:
        image: [1, H, W, C].
        reports: plain values, one for each face that was found.
        faces: number (None where the picture is one face) and crop before and after.
        changed: whether any pixel may have changed.
    """

    image: Tensor
    reports: list[dict[str, Any]]
    faces: list[tuple[int | None, Tensor | None, Tensor | None]] = field(default_factory=list)
    changed: bool = True

    @classmethod
    def of(cls, result: Restoration) -> Restored:
        pairs = zip(result.aligned, result.faces, strict=True)
        return cls(
            result.image,
            [report.to_dict() for report in result.reports],
            [(number, before.crop, after.crop) for number, (before, after) in enumerate(pairs)],
            changed=bool(result.faces),
        )


def notes_on(source: Path, file: ImageFile) -> list[str]:
    """A sentence for each thing that is missing of what was read."""
    notes = [f"{source} is damaged: {what}. It is used as far as it can be read." for what in file.damage]
    if file.frames > 1:
        notes.append(f"{source}: only the first of {file.frames} frames is used.")
    return notes


def failed(job: Job, error: Exception) -> Outcome:
    """The outcome of a picture that could not be done."""
    if isinstance(error, GpenError):
        said = str(error)
    elif isinstance(error, OSError):
        said = remedy(error)
    elif isinstance(error, MemoryError):
        said = "There is too little memory for it. Scale it down first."
    else:
        said = f"A fault of this program, please report it: {type(error).__name__}: {error}"
    entry = {"input": str(job.source), "output": None, "faces": [], "error": said}
    return Outcome(entry, (f"{job.source}: {said}",))
