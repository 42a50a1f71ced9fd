"""What can be chosen of a film, beside what can be chosen of a photo."""

from __future__ import annotations

from dataclasses import dataclass

from ..faces import RestoreOptions
from ..faces.indices import parse_indices
from ..options import Options, option

__all__ = ["FilmOptions"]


@dataclass(frozen=True)
class FilmOptions(Options):
    """How the faces of a film are restored."""

    restore: RestoreOptions = RestoreOptions()  # noqa: RUF009  # it is frozen
    stability: float = option(
        0.8,
        "How much a face's detail is held from frame to frame; 0 restores each frame for itself.",
        float,
        low=0,
        high=1,
    )
    tracks: str | None = option(
        None,
        "Numbers of the faces as the report counts them, from 0, such as 0, 2-4; empty takes all.",
        str,
        valid=parse_indices,
    )
    likeness: float = option(
        0.3, "How much a face has to be like the person that was asked for.", float, low=-1, high=1
    )
