"""What becomes of each restored face: the one place that may still leave one out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor

from ..host import Host, interrupts_of, tell_stage
from ..images import as_batch, resize
from ..weight_files import MOBILEFACENET
from .face import AlignedFace, DetectedFace
from .geometry.pose import turned_aside
from .geometry.resample import compose, invert, resizing, warp
from .identity import arcface_crop, find_embedder
from .options import RestoreOptions
from .selection import FaceChoice

if TYPE_CHECKING:
    from ..judgement import Judgement

__all__ = ["FaceReport", "Verdict", "judge_crop", "judge_faces", "report_faces"]

_LARGEST = 2048  # pixels: 50 MB for each copy of a crop
_ASIDE = (0.4, 0.8)  # of ``turned_aside``: from half aside to a profile
_PROFILE = 0.5  # strength of a profile
_Face = TypeVar("_Face", AlignedFace, Tensor)


@dataclass(frozen=True, eq=False)
class Verdict(Generic[_Face]):
    """Whether a restored face is good enough to be pasted, or why not.

    Attributes:
        face: as it is to be pasted: with its place from ``judge_faces``, the crop alone from ``judge_crop``.
        accepted: False leaves the image as it is there.
        why: why nothing of it is seen, in plain English; empty if something is. An accepted face has a
            reason where the strength is 0.
        judgement: what of the picture stayed in the face; None if that was not asked.
        said: the same in plain English.
    """

    face: _Face
    accepted: bool = True
    why: str = ""
    judgement: Judgement | None = None
    said: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, but for the face."""
        decided = None if self.judgement is None else self.judgement.to_dict()
        return {"restored": not self.why, "why": self.why, "judgement": decided, "said": self.said}


def judge_faces(
    images: Tensor,
    aligned: Sequence[AlignedFace],
    restored: Sequence[AlignedFace],
    options: RestoreOptions | None = None,
    *,
    host: Host | None = None,
) -> tuple[Verdict[AlignedFace], ...]:
    """Decide what of the picture stays in restored faces, and which of them go back into their images.

    Each face is judged at the restored crop's scale or at the picture's, whichever is finer (up to 2048 px),
    so that a face larger than the model's size keeps its own detail. Its crop may so become larger than
    the model's.

    Args:
        images: [B, H, W, C] in [0, 1], in which the faces were found.
        aligned: the faces before restoration.
        restored: the same ones after it, in the same order.
        options: of the whole run; see ``JudgeOptions``.
        host: told of each face, asked for interrupts all the time.

    Returns:
        A verdict for each face, in the same order.
    """
    options = options or RestoreOptions()
    batch = as_batch(images)
    verdicts = []
    for before, after in zip(aligned, restored, strict=True):
        tell_stage(host, "Judging faces", len(verdicts), len(aligned))
        verdicts.append(_verdict(batch, before, after, options, host))
    tell_stage(host, "Judging faces", len(aligned), len(aligned))
    return tuple(verdicts)


def judge_crop(
    before: Tensor,
    after: Tensor,
    options: RestoreOptions | None = None,
    *,
    host: Host | None = None,
) -> Verdict[Tensor]:
    """Judge one aligned crop.

    Args:
        before, after: [S, S, 3] in [0, 1], what the image shows and what was restored from it.
        options: of the whole run; see ``JudgeOptions``.
        host: asked for interrupts all the time.

    Returns:
        The verdict on the face, [S, S, 3]. One that is not accepted is what the image shows.
    """
    from ..judgement import judge_face  # with the first face, not when a host starts

    options = options or RestoreOptions()
    chosen = options.judge
    unseen = "strength is 0" if options.paste.strength == 0 else ""
    if chosen.nothing_stays:
        return Verdict(after, why=unseen)
    embedder = find_embedder() if chosen.guard_identity else None
    check = interrupts_of(host)

    def embed(faces: Tensor) -> Tensor:
        assert embedder is not None
        check()
        # Shrunk to 112 px where the face is: only that crosses to the CPU, where this small network stays.
        small = arcface_crop(faces, options.align.template)
        return embedder(small.to("cpu", torch.float32)).to(faces.device)

    parser = None
    if chosen.face_parser and chosen.keep_front:
        from .parsing import find_parser  # few have one

        parser = find_parser(str(chosen.face_parser))
    crop, judgement = judge_face(
        before,
        after,
        colour=chosen.colour,
        keep_detail=chosen.keep_detail,
        grain=chosen.grain,
        in_front=chosen.keep_front,
        seen=parser.seen(before) if parser else None,
        embed=embed if embedder else None,
        check=check,
    )
    said = str(judgement)
    if chosen.guard_identity and embedder is None:
        said += f"; identity not checked, {MOBILEFACENET.name} is not at hand"
    refused = judgement.refused
    return Verdict(crop, not refused, unseen or refused, judgement, said.removeprefix("; "))


def _verdict(
    batch: Tensor,
    aligned: AlignedFace,
    restored: AlignedFace,
    options: RestoreOptions,
    host: Host | None,
) -> Verdict[AlignedFace]:
    before = after = restored.crop
    pixels, size = _covered(aligned), len(restored.crop)
    if not options.judge.nothing_stays:
        check = interrupts_of(host)
        before, after = _same_scale(batch[aligned.image_index], aligned, restored, options, check)
    found = judge_crop(before, after, options, host=host)
    crop, strength = found.face, _strength(aligned) if options.judge.guard_identity else 1.0
    if strength < 1:
        crop = torch.lerp(before, crop, strength)
    # Without detail of the picture's own the crop takes its place, as it always did.
    face = replace(restored, crop=crop, base=before if options.judge.keep_detail else None)
    said = [found.said] if found.said else []
    if strength < 1:
        said.append(f"seen from the side, strength lowered to {strength:.2g}")
    if pixels > size:
        said.append(f"larger than the model, {pixels} px for {size}")
    return Verdict(face, found.accepted, found.why, found.judgement, "; ".join(said))


def _strength(face: DetectedFace) -> float:
    """How much of a restored face is used: models know few profiles, and make front views of them."""
    aside = turned_aside(face.landmarks)
    low, high = _ASIDE
    return 1 - (1 - _PROFILE) * min(max((aside - low) / (high - low), 0), 1)


def _covered(face: AlignedFace) -> int:
    """Side of the square of the image that a crop shows, in pixels."""
    return math.ceil(face.crop_size / torch.linalg.vector_norm(face.matrix[:, 0]).item())


def _same_scale(
    image: Tensor,
    aligned: AlignedFace,
    restored: AlignedFace,
    options: RestoreOptions,
    check: Callable[[], object],
) -> tuple[Tensor, Tensor]:
    """[S, S, 3] twice: what the image shows where the crop lies, and the restored crop."""
    native = _covered(aligned) if options.judge.keep_detail else 0
    side = max(len(restored.crop), min(native, _LARGEST))
    to_crop = compose(resizing(side / aligned.crop_size, side / aligned.crop_size), aligned.matrix)
    seen = image[..., :3].permute(2, 0, 1)[None]
    before = warp(seen, invert(to_crop), (side, side), options.align.border, check)[0]
    before = before.nan_to_num().clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0)
    return before, resize(restored.crop[None].to(before), side, side)[0]


@dataclass(frozen=True, eq=False)
class FaceReport:
    """What became of one face that was found: restored, or why not.

    Attributes:
        face: as it was found.
        restored: whether its restored crop is in the image.
        why: a reason in plain English; empty if it was restored.
        selected: whether its restoration was asked for.
        judgement: what of the picture stayed in it; None if it was not restored, or that was not asked.
        said: the same in plain English.
    """

    face: DetectedFace
    restored: bool
    why: str = ""
    selected: bool = True
    judgement: Judgement | None = None
    said: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; pixels of the image that was searched."""
        return self.face.to_dict() | {
            "selected": self.selected,
            "restored": self.restored,
            "why": self.why,
            "judgement": None if self.judgement is None else self.judgement.to_dict(),
            "said": self.said,
        }

    def __str__(self) -> str:
        """One line, such as ``face of 131 px at (220, 114), score 1.00: restored``."""
        if not self.restored:
            return f"{self.face}: left as it is, {self.why}"
        return f"{self.face}: restored" + (f" ({self.said})" if self.said else "")


def report_faces(
    choices: Iterable[FaceChoice], verdicts: Iterable[Verdict[AlignedFace]]
) -> Iterator[FaceReport]:
    """A report for each choice; the verdicts are those on the selected faces, in the same order."""
    remaining = iter(verdicts)
    for choice in choices:
        if choice.selected:
            one = next(remaining)
            yield FaceReport(choice.face, not one.why, one.why, judgement=one.judgement, said=one.said)
        else:
            yield FaceReport(choice.face, restored=False, why=choice.why, selected=False)
