"""Which faces, and in which order."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import OptionError
from ..options import gather
from .face import DetectedFace
from .indices import parse_indices
from .options import SelectOptions
from .orders import sorting_key

__all__ = ["FaceChoice", "select_faces"]


@dataclass(frozen=True, eq=False)
class FaceChoice:
    """What was asked for of one face: to take it, or why not. What became of it says a ``FaceReport``."""

    face: DetectedFace
    selected: bool
    why: str = ""

    @property
    def restored(self) -> bool:
        """The former name of ``selected``."""
        warnings.warn("restored is selected now: select_faces restores nothing", DeprecationWarning, 2)
        return self.selected

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; pixels of the image that was searched."""
        return self.face.to_dict() | {"selected": self.selected, "why": self.why}

    def __str__(self) -> str:
        """One line, such as ``face of 131 px at (220, 114), score 1.00: left out, outside the mask``."""
        return f"{self.face}: {'selected' if self.selected else f'left out, {self.why}'}"


def select_faces(
    faces: Sequence[DetectedFace],
    options: SelectOptions | None = None,
    *,
    likeness: Sequence[float] | None = None,
    mask: Tensor | None = None,
    **keywords: Any,
) -> tuple[FaceChoice, ...]:
    """Decide which faces are to be restored.

    Args:
        faces: of any number of images.
        options: see ``SelectOptions``, whose fields are keywords, too. Without an order the faces stay as
            they are. Numbers count the faces of an image that passed all other conditions.
        likeness: of each face to somebody, see ``face_likeness``.
        mask: [B, H, W] or [1, H, W], of the images' size: a face's centre has to lie where it exceeds 0.5.

    Returns:
        A choice for every face, image by image, in the order asked for.

    Raises:
        OptionError: an option that makes no sense, or one that needs ``likeness`` without it.
    """
    options = gather(SelectOptions, options, keywords)
    if likeness is None:
        if options.order == "most_alike":
            raise OptionError("order is most_alike, but there is no reference to be like; give one.")
        if options.min_likeness > -1:
            raise OptionError("min_likeness is given, but there is no reference to be like; give one.")
    pairs = list(zip(faces, likeness if likeness is not None else [1.0] * len(faces), strict=True))
    if options.order is not None:
        key = sorting_key(options.order, options.point)
        pairs.sort(key=lambda pair: (pair[0].image_index, *key(*pair)))
    wanted = parse_indices(options.indices)
    choices: list[FaceChoice] = []
    passed: Counter[int] = Counter()
    taken: Counter[int] = Counter()
    for face, like in pairs:
        index = face.image_index
        why = _unfit(face, like, options, mask)
        if not why:
            number = passed[index]
            passed[index] += 1
            if wanted is not None and not any(number in some for some in wanted):
                why = f"number {number} was not asked for"
            elif options.max_faces is not None and taken[index] >= options.max_faces:
                why = f"beyond the first {options.max_faces}"
        if not why:
            taken[index] += 1
        choices.append(FaceChoice(face, not why, why))
    return tuple(choices)


def _unfit(face: DetectedFace, likeness: float, options: SelectOptions, mask: Tensor | None) -> str:
    """Why a face's size, place or looks rule it out; empty if they don't."""
    if face.size < options.min_face:
        return f"smaller than min_face: {face.size:.0f} < {options.min_face:g} px"
    if face.size > options.max_face:
        return f"larger than max_face: {face.size:.0f} > {options.max_face:g} px"
    if mask is not None:
        height, width = face.image_size
        x, y = (min(max(round(v), 0), side - 1) for v, side in zip(face.centre, (width, height), strict=True))
        if mask[face.image_index if len(mask) > 1 else 0, y, x] <= 0.5:
            return "outside the mask"
    if likeness < options.min_likeness:
        return f"not alike enough: {likeness:.2f} < {options.min_likeness:g}"
    return ""
