"""Restored films beside the true one, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FaceError, ImageError
from ..faces import find_faces
from ..faces.identity import FaceEmbedder
from ..films import Cuts, FilmOptions, Track, as_gray, follow_faces, open_film
from ..host import Host
from .flicker import FilmFigures, Steadiness, alignment_jitter

__all__ = ["FilmRow", "compare_films", "film_table"]

_NEAR = 0.5  # of the eye distance: farther off it is another face


@dataclass(frozen=True)
class FilmRow:
    """Figures of one film.

    Attributes:
        jitter: how much the error of landmarks that are found in it changes from frame to frame, in shares of
            the eye distance.
    """

    name: str
    steadiness: Steadiness
    jitter: float


def compare_films(
    restored: Sequence[Path], truth: Path, host: Host, embedder: FaceEmbedder | None = None
) -> list[FilmRow]:
    """Measure films that were restored from a worse copy of ``truth``.

    Raises:
        ImageError: a film cannot be read, or has other frames than the true one.
        FaceError: no face in the true film.
    """
    tracks = follow_faces(open_film(truth).frames(), FilmOptions(), host)
    if not tracks:
        raise FaceError(f"No face was found in {truth}, the film to compare with.")
    return [_row(path, truth, tracks, host, embedder) for path in restored]


def _row(path: Path, truth: Path, tracks: list[Track], host: Host, embedder: FaceEmbedder | None) -> FilmRow:
    figures, cuts = FilmFigures(embedder), Cuts()
    found: dict[int, list[np.ndarray | None]] = {track.number: [] for track in tracks}
    known: dict[int, list[np.ndarray]] = {track.number: [] for track in tracks}
    ours, theirs = (iter(open_film(one).frames()) for one in (path, truth))
    for number, true in enumerate(theirs):
        frame = next(ours, None)
        if frame is None or frame.image.shape[1:3] != true.image.shape[1:3]:
            raise ImageError(f"{path} has other frames than {truth}: fewer, or of another size.")
        there = [
            (one.number, one.face(number)) for one in tracks if one.first <= number < one.first + len(one)
        ]
        figures.add(frame.image, true.image, there, cut=cuts.add(as_gray(true.image)))
        detected = [np.array(face.landmarks) for face in find_faces(frame.image, host=host)]
        for track, face in there:
            known[track].append(np.array(face.landmarks))
            found[track].append(_nearest(known[track][-1], detected))
    jitter = [alignment_jitter(found[track.number], known[track.number]) for track in tracks]
    return FilmRow(path.name, figures.figures(), float(np.nanmean(jitter)))


def _nearest(points: np.ndarray, detected: list[np.ndarray]) -> np.ndarray | None:
    """The landmarks of the same face; None if it was not found."""
    limit = _NEAR * float(np.linalg.norm(points[0] - points[1]))
    errors = [float(np.linalg.norm(one - points, axis=1).mean()) for one in detected]
    best = int(np.argmin(errors)) if errors else -1
    return detected[best] if errors and errors[best] < limit else None


def film_table(rows: Sequence[FilmRow]) -> str:
    """Markdown."""
    heads = "film", "flicker", "PSNR (dB)", "identity", "from frame to frame", "jitter (%)"
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        one = row.steadiness
        lines.append(
            f"| {row.name} | {one.flicker:.2f} | {one.psnr:.2f} | {one.identity:.3f} | "
            f"{one.steadiness:.3f} | {100 * row.jitter:.2f} |"
        )
    return "\n".join(lines) + "\n"
