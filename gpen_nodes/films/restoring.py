"""The second pass: each frame's faces restored where the first pass has them, and held steady over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..crops import restore_each
from ..errors import FaceError
from ..faces import AlignedFace, RestoreOptions, align_faces, crop_pixels, judge_faces, paste_back
from ..faces.identity import find_embedder
from ..faces.orders import sorting_key
from ..host import Host, tell_stage
from ..images import resize
from ..inference import Restorer, Restorers, covering_size
from .film import Frame
from .following import quiet
from .options import FilmOptions
from .stable import Stabiliser
from .tracks import Track

__all__ = ["restored_frames"]

_FRAMES = 8  # whose faces go through the network together, at most
_PIXELS = 24_000_000  # in such frames: about 300 MB
_GUARDED = 6  # a face's identity is looked at in every so-manieth frame
_STEP = 0.1  # by which a face's strength changes from frame to frame


def restored_frames(
    frames: Iterable[Frame],
    tracks: Sequence[Track],
    restorer: Restorer | Restorers,
    options: FilmOptions,
    host: Host,
    total: int | None = None,
) -> Iterator[tuple[Frame, Tensor | None]]:
    """Restore the faces of a film.

    Args:
        frames: the same as those in which the tracks were found.
        tracks: those to be restored.
        host: told of each frame, asked for interrupts.
        total: how many frames there may be, for the host.

    Returns:
        Each frame with its new image [1, H, W, C], or with None where no face is in it.
    """
    scene, done = _Scene(tracks, restorer, options, host), 0
    chunk = restorer.chunk(host.device)
    batch: list[tuple[Frame, list[_Seen]]] = []
    for number, frame in enumerate(frames):
        batch.append((frame, scene.seen(number, frame)))
        faces, pixels = sum(len(seen) for _, seen in batch), len(batch) * frame.image[..., 0].numel()
        if faces >= chunk or len(batch) >= _FRAMES or pixels > _PIXELS:
            yield from scene.restored(batch)
            done += len(batch)
            batch.clear()
            tell_stage(host, "Restoring faces", done, max(total or 0, done))
    yield from scene.restored(batch)
    tell_stage(host, "Restoring faces", done + len(batch), done + len(batch))


@dataclass(frozen=True, eq=False)
class _Seen:
    """A track's face in one frame."""

    actor: _Actor
    face: AlignedFace
    strength: float
    guarded: bool


class _Actor:
    """What is remembered of a track from frame to frame."""

    def __init__(self, track: Track, size: int, stability: float) -> None:
        self.track, self.size = track, size
        self.stabiliser = Stabiliser(stability)
        self.strength: float | None = None
        self.wanted = 1.0

    def step(self) -> float:
        """The strength that the identity guard leaves, without jumps."""
        if self.strength is None:
            self.strength = self.wanted
        self.strength += min(max(self.wanted - self.strength, -_STEP), _STEP)
        return self.strength


class _Scene:
    """The faces that are in the film at the moment."""

    def __init__(
        self, tracks: Sequence[Track], restorer: Restorer | Restorers, options: FilmOptions, host: Host
    ) -> None:
        self._coming = sorted(tracks, key=lambda track: -track.first)
        self._there: list[_Actor] = []
        self._restorer, self._stability, self._host = restorer, options.stability, quiet(host)
        self._options = options.restore
        self._guards = self._options.judge.guard_identity and find_embedder() is not None
        # Frame by frame, the guard's strength would jump.
        judge = replace(self._options.judge, guard_identity=False)
        self._unguarded = replace(self._options, judge=judge)

    def seen(self, number: int, frame: Frame) -> list[_Seen]:
        """The faces of a frame, cut out."""
        while self._coming and self._coming[-1].first <= number:
            track = self._coming.pop()
            self._there.append(_Actor(track, self._size_for(track), self._stability))
        self._there = [one for one in self._there if number < one.track.first + len(one.track)]
        seen = []
        for actor in _first(self._there, self._options):
            index = number - actor.track.first
            try:
                face = actor.track.face(number)
                (aligned,) = align_faces(
                    frame.image, [face], actor.size, self._options.align, host=self._host
                )
            except FaceError:  # landmarks that fix no position
                continue
            guarded = self._guards and index % _GUARDED == 0
            seen.append(_Seen(actor, aligned, float(actor.track.strength[index]), guarded))
        return seen

    def _size_for(self, track: Track) -> int:
        """One network's for the whole track: a change between frames would show."""
        try:
            pixels = crop_pixels(track.middle, self._options.align.template)
        except FaceError:  # landmarks that fix no position
            pixels = 0.0
        return covering_size(self._restorer.input_sizes, pixels)

    def restored(self, batch: Sequence[tuple[Frame, list[_Seen]]]) -> Iterator[tuple[Frame, Tensor | None]]:
        """Frames with their restored images."""
        every = [one.face.crop for _, seen in batch for one in seen]
        crops = iter(restore_each(self._restorer, every, self._host))
        for frame, seen in batch:
            faces = [self._finished(frame, one, next(crops)) for one in seen]
            image = None
            if faces:
                image, _ = paste_back(frame.image, faces, self._options.paste, host=self._host)
            yield frame, image

    def _finished(self, frame: Frame, seen: _Seen, crop: Tensor) -> AlignedFace:
        """A face as it goes back into its frame."""
        actor, before = seen.actor, seen.face
        after = replace(before, crop=crop)
        if seen.guarded:
            (verdict,) = judge_faces(frame.image, [before], [after], self._options)
            identity = verdict.judgement and verdict.judgement.identity
            actor.wanted = 1.0 if identity is None else identity.strength
        (verdict,) = judge_faces(frame.image, [before], [after], self._unguarded)
        face, side = verdict.face, len(verdict.face.crop)
        base = face.base if face.base is not None else resize(before.crop[None], side, side)[0]
        detail = verdict.judgement and verdict.judgement.detail
        steady = actor.stabiliser.blend(base, face.crop, 1 - (detail.kept if detail else 0))
        strength = seen.strength * actor.step()
        if strength < 1:
            steady, face = torch.lerp(base, steady, strength), replace(face, base=base)
        return replace(face, crop=steady)


def _first(actors: list[_Actor], options: RestoreOptions) -> list[_Actor]:
    """As many as are asked for of each frame, in the order that is asked for."""
    most = options.select.max_faces
    if most is None or len(actors) <= most:
        return actors
    key = sorting_key(options.select.order or "size", options.select.point)
    return sorted(actors, key=lambda actor: key(actor.track.middle, 1.0))[:most]
