"""What can be chosen of each step: its default, range and description, which every door derives from here."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..options import Options, option
from .detectors import DETECTORS
from .geometry.templates import TEMPLATES
from .indices import parse_indices
from .orders import SELECTION_ORDERS

__all__ = ["AlignOptions", "DetectOptions", "JudgeOptions", "PasteOptions", "RestoreOptions", "SelectOptions"]


def _check_point(value: Any) -> None:
    try:
        x, y = value
        good = math.isfinite(x) and math.isfinite(y)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError("two numbers, x and y, in shares of width and height")


@dataclass(frozen=True)
class DetectOptions(Options):
    """How faces are found."""

    detector: str = option(
        "mtcnn",
        "MTCNN needs nothing more; the RetinaFaces need facexlib and its weights.",
        str,
        choices=DETECTORS,
    )
    detector_weights: str | Path | None = option(  # noqa: RUF009  # a path is not mutable
        None, "The detector's weights, where they are not in the usual place.", Path
    )
    min_score: float = option(0.9, "How sure the detector has to be.", float, low=0, high=1)
    quarter_turns: bool = option(
        False,
        "Look for small and unclear faces on their side or head, too; clear ones are found without it where "
        "no upright face is. Four times the work.",
        bool,
    )
    smallest: float = option(
        0,
        "Side of the smallest face to look for, in pixels; 0 takes what the detector finds reliably: MTCNN "
        "looks for 20 pixels and more, in images above 5.8 megapixels for proportionally larger faces.",
        float,
        low=0,
    )


@dataclass(frozen=True)
class SelectOptions(Options):
    """Which of the faces that were found are taken, and in which order."""

    order: str | None = option(
        None,
        "What comes first: the largest or surest face, or by place.",
        str,
        choices=SELECTION_ORDERS,
    )
    point: tuple[float, float] = option(
        (0.5, 0.5), "For the order nearest: shares of width and height.", valid=_check_point
    )
    min_likeness: float = option(
        -1,
        "How much like the reference: one person gives 0.3 to 0.9, two give about 0.",
        float,
        low=-1,
        high=1,
    )
    min_face: float = option(0, "Leave smaller faces as they are, in pixels.", float, low=0)
    max_face: float = option(math.inf, "Leave larger faces as they are, in pixels.", float, low=0)
    indices: str | Collection[int] | None = option(
        None,
        "Numbers in this order, from 0, such as 0, 2-4 or 7-; empty takes all.",
        valid=parse_indices,
    )
    max_faces: int | None = option(None, "How many of each image, the first ones.", int, low=1)


@dataclass(frozen=True)
class AlignOptions(Options):
    """How faces are cut out."""

    template: str = option(
        "gpen",
        "Where the model expects eyes, nose and mouth: gpen for GPEN's own checkpoints.",
        str,
        choices=tuple(TEMPLATES),
    )
    border: str = option("replicate", "What lies beyond the image.", str, choices=("replicate", "reflect"))


@dataclass(frozen=True)
class JudgeOptions(Options):
    """What of the picture stays in a restored face.

    All of the model's face is ``JudgeOptions(colour="model", keep_detail=0, keep_front=False,
    guard_identity=False)``: ``nothing_stays``.
    """

    colour: str = option(
        "auto",
        "Whose colours: the picture's, the model's, or auto: the picture's unless they are broken.",
        str,
        choices=("auto", "picture", "model"),
    )
    keep_detail: float = option(
        1.0, "How much of the detail that the picture holds already is kept.", float, low=0, high=1
    )
    grain: float = option(0.0, "How much of the picture's grain a face gets back.", float, low=0, high=1)
    keep_front: bool = option(
        True, "Keep hands, microphones and hair that the model takes for a part of the face.", bool
    )
    face_parser: str | Path | None = option(  # noqa: RUF009  # a path is not mutable
        None, "ONNX file of a face parser or occluder, which tells better what is in front.", Path
    )
    guard_identity: bool = option(
        True,
        "Lower the strength of profiles and, where MobileFaceNet.onnx is at hand, of faces that come out as "
        "somebody else.",
        bool,
    )

    @property
    def nothing_stays(self) -> bool:
        """Whether the model's face is taken as it is."""
        asked = self.keep_detail, self.grain, self.keep_front, self.guard_identity
        return self.colour == "model" and not any(asked)


@dataclass(frozen=True)
class PasteOptions(Options):
    """How restored faces go back into the image."""

    strength: float = option(1.0, "0 keeps the image, 1 shows the face.", float, low=0, high=1)
    softness: float = option(
        0.4,
        "Share of a crop's half side over which it fades out towards its border.",
        float,
        low=0,
        high=1,
        above=True,
    )
    match_colour: bool = option(False, "Give each crop the image's own tones first.", bool)


@dataclass(frozen=True)
class RestoreOptions(Options):
    """All of them, as ``restore_image`` takes them: their fields are its keywords."""

    detect: DetectOptions = DetectOptions()
    select: SelectOptions = SelectOptions(order="size")
    align: AlignOptions = AlignOptions()
    judge: JudgeOptions = JudgeOptions()
    paste: PasteOptions = PasteOptions()
