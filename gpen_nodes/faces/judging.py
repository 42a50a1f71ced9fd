"""What becomes of each restored face: the one place that may still leave one out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .face import AlignedFace, DetectedFace
from .options import RestoreOptions
from .selection import FaceChoice

__all__ = ["FaceReport", "Verdict", "judge_faces", "report_faces"]


@dataclass(frozen=True)
class Verdict:
    """Whether a restored face is good enough to be pasted, or why not.

    Attributes:
        face: as it is to be pasted.
        accepted: False leaves the image as it is there.
        why: a reason in plain English; empty if accepted.
    """

    face: AlignedFace
    accepted: bool = True
    why: str = ""


def judge_faces(
    images: Tensor,
    aligned: Sequence[AlignedFace],
    restored: Sequence[AlignedFace],
    options: RestoreOptions | None = None,
) -> tuple[Verdict, ...]:
    """Decide which restored faces go back into their images. Today all do.

    Args:
        images: [B, H, W, C] in [0, 1], in which the faces were found.
        aligned: the faces before restoration.
        restored: the same ones after it, in the same order.
        options: of the whole run.

    Returns:
        A verdict for each face, in the same order.
    """
    return tuple(Verdict(after) for _, after in zip(aligned, restored, strict=True))


@dataclass(frozen=True)
class FaceReport:
    """What became of one face that was found: restored, or why not.

    Attributes:
        face: as it was found.
        restored: whether its restored crop is in the image.
        why: a reason in plain English; empty if it was restored.
        selected: whether its restoration was asked for.
    """

    face: DetectedFace
    restored: bool
    why: str = ""
    selected: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; pixels of the image that was searched."""
        return self.face.to_dict() | {
            "selected": self.selected,
            "restored": self.restored,
            "why": self.why,
        }

    def __str__(self) -> str:
        """One line, such as ``face of 131 px at (220, 114), score 1.00: restored``."""
        return f"{self.face}: {'restored' if self.restored else f'left as it is, {self.why}'}"


def report_faces(choices: Iterable[FaceChoice], verdicts: Iterable[Verdict]) -> Iterator[FaceReport]:
    """A report for each choice; the verdicts are those on the selected faces, in the same order."""
    remaining = iter(verdicts)
    for choice in choices:
        if choice.selected:
            verdict = next(remaining)
            yield FaceReport(choice.face, verdict.accepted, verdict.why)
        else:
            yield FaceReport(choice.face, restored=False, why=choice.why, selected=False)
