"""The first pass: faces found, followed through the film, and chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import FaceError, ImageError
from ..faces import DetectedFace, align_face, detect_faces, find_faces, select_faces
from ..faces.identity import FaceEmbedder, find_embedder
from ..faces.indices import parse_indices
from ..host import Host, tell_stage
from ..images import as_batch
from ..weight_files import MOBILEFACENET, find_weights
from .cuts import Cuts
from .film import Frame
from .motion import as_gray
from .options import FilmOptions
from .tracks import Follower, Track

__all__ = ["TrackChoice", "choose_tracks", "follow_faces", "quiet"]

_GOING_ON = 0.6  # score of a face where one is expected
_CROP = 128  # pixels, for who a face is


class _Quiet:
    def __init__(self, host: Host) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        if name == "stage":
            raise AttributeError(name)
        return getattr(self._host, name)

    def progress(self, done: int, total: int, preview: Tensor | None = None) -> None:
        pass


def quiet(host: Host) -> Host:
    """The same host, that hears nothing of the progress within single frames."""
    return cast(Host, _Quiet(host))


@dataclass(frozen=True)
class TrackChoice:
    """Whether a track's face is restored, or why not."""

    track: Track
    selected: bool
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self.track.to_dict() | {"selected": self.selected, "why": self.why}

    def __str__(self) -> str:
        return f"{self.track}: {'restored' if self.selected else f'left as it is, {self.why}'}"


def follow_faces(
    frames: Iterable[Frame],
    options: FilmOptions,
    host: Host,
    total: int | None = None,
    weights: str | Path | None = None,
) -> list[Track]:
    """Find the faces of a film and follow each; memory grows by some numbers for each face of a frame.

    Args:
        frames: all of them, in the order of time.
        host: where the detector runs; told of each frame, asked for interrupts.
        total: how many frames there may be, for the host.
        weights: MobileFaceNet.onnx, by which a face that jumps is known again; None looks in the usual
            places, and does without.
    """
    detect = options.restore.detect
    follower, cuts, embedder = Follower(detect.min_score), Cuts(), find_embedder(weights)
    detect, count = replace(detect, min_score=min(detect.min_score, _GOING_ON)), 0
    size = (0, 0)
    for count, frame in enumerate(frames, 1):
        tell_stage(host, "Following faces", count - 1, max(total or 0, count))
        gray = as_gray(frame.image)
        size = gray.shape[:2] if count == 1 else size
        if gray.shape != size:
            raise ImageError(
                f"Frame {count} is {gray.shape[1]}×{gray.shape[0]} px and those before {size[1]}×{size[0]}: "
                "a film has frames of one size. Convert it, or restore its frames as photos."
            )
        faces = find_faces(frame.image, detect, host=quiet(host))
        embed = _embedding_in(frame.image, embedder) if embedder else None
        follower.add(gray, frame.time, faces, cuts.add(gray), embed)
    tell_stage(host, "Following faces", count, count)
    return follower.finish()


def choose_tracks(
    tracks: Sequence[Track],
    options: FilmOptions,
    person: Tensor | None = None,
    weights: str | Path | None = None,
) -> list[TrackChoice]:
    """Decide which faces are restored through the film.

    Args:
        person: [B, H, W, C] or [H, W, C] in [0, 1], photos of the one that is wanted; None takes all.
        weights: as ``follow_faces`` takes them.

    Raises:
        FaceError: no face in a photo of the person.
        MissingWeightsError: MobileFaceNet is not at hand, by which persons are told apart.
    """
    wanted, known = parse_indices(options.tracks), None if person is None else _known(person, weights)
    select = replace(options.restore.select, indices=None, max_faces=None)
    choices = []
    for track in tracks:
        why = select_faces([track.middle], select)[0].why
        if not why and wanted is not None and not any(track.number in some for some in wanted):
            why = f"track {track.number} was not asked for"
        if not why and known is not None:
            likeness = max(float((known @ one).max()) for one in track.embeddings)
            if likeness < options.likeness:
                why = f"not alike enough: {likeness:.2f} < {options.likeness:g}"
        choices.append(TrackChoice(track, not why, why))
    return choices


def _embedding_in(image: Tensor, embedder: FaceEmbedder) -> Callable[[DetectedFace], np.ndarray]:
    @torch.inference_mode()
    def embed(face: DetectedFace) -> np.ndarray:
        crop = align_face(image, replace(face, image_index=0), _CROP).crop
        return embedder.embed(crop.cpu().permute(2, 0, 1)[None])[0].numpy()

    return embed


def _known(person: Tensor, weights: str | Path | None) -> np.ndarray:
    """[B, D], who the largest face of each photo is."""
    embedder = find_embedder(weights or find_weights(MOBILEFACENET.name))
    assert embedder is not None
    known = []
    for photo in as_batch(person):
        found = detect_faces(photo, max_faces=1)
        if not found:
            raise FaceError("No face was found in the picture of the person. Give one that shows the face.")
        known.append(_embedding_in(photo[None], embedder)(found[0]))
    return np.stack(known)
