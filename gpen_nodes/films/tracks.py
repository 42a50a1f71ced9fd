"""Faces followed through a film: which of one frame is which of the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..faces import DetectedFace
from ..faces.geometry.templates import Points, similarity
from .motion import Box, motion_between, moved_box, moved_points
from .smoothing import eased, smoothed_landmarks

__all__ = ["Follower", "Track"]

_SAME = 0.3  # intersection over union, from which on a face is where it was expected
_LOST = 0.5  # seconds without a face that end a track
_FEWEST = 3  # frames; what lasts less is no face
_EASE = 0.2  # seconds in which a restored face comes and goes
_ALIKE = 0.45  # cosine of two faces of one person; two persons have about 0
_STILL = np.eye(3)


@dataclass(frozen=True, eq=False)
class Track:
    """One face through a shot.

    Attributes:
        number: from 0, in the order of appearance, the larger face first.
        first: number of its first frame; it has every frame up to its last one.
        times: [N] seconds.
        values: [N, 15] float32, box, smoothed landmarks and score of each frame, those in which the detector
            missed it included; ``face`` makes faces of them.
        size: (height, width) of the frames.
        strength: [N] in (0, 1]: eased where the face comes or goes within a shot.
        embeddings: of who it is, a few; empty without MobileFaceNet.
    """

    number: int
    first: int
    times: np.ndarray = field(repr=False)
    values: np.ndarray = field(repr=False)
    size: tuple[int, int]
    strength: np.ndarray = field(repr=False)
    embeddings: tuple[np.ndarray, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.times)

    def face(self, frame: int, image_index: int = 0) -> DetectedFace:
        """The face as it is in a frame of the film."""
        return _face(self.values[frame - self.first], image_index, self.size)

    @property
    def middle(self) -> DetectedFace:
        """The face of median size, which stands for all."""
        areas = (self.values[:, 2] - self.values[:, 0]) * (self.values[:, 3] - self.values[:, 1])
        return _face(self.values[areas.argsort()[len(areas) // 2]], 0, self.size)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "track": self.number,
            "first_frame": self.first,
            "frames": len(self),
            "start": round(float(self.times[0]), 3),
            "end": round(float(self.times[-1]), 3),
        } | {k: v for k, v in self.middle.to_dict().items() if k != "image_index"}

    def __str__(self) -> str:
        """Such as ``track 0, 0:01.20 to 0:08.00: face of 131 px at (220, 114), score 1.00``."""
        return f"track {self.number}, {_clock(self.times[0])} to {_clock(self.times[-1])}: {self.middle}"


@dataclass(eq=False)
class _Growing:
    """A track while the film is read; per frame it keeps numbers alone."""

    first: int
    starts: bool
    box: Box
    points: np.ndarray
    size: tuple[int, int]
    times: list[float]
    paths: list[np.ndarray]
    seen: list[int] = field(default_factory=list)
    found: list[np.ndarray] = field(default_factory=list)
    embeddings: list[np.ndarray] = field(default_factory=list)
    ends: bool = True

    @property
    def area(self) -> float:
        """Of its box in its first frame."""
        x0, y0, x1, y1 = self.found[0][:4].tolist()
        return (x1 - x0) * (y1 - y0)

    def see(self, frame: int, face: DetectedFace) -> None:
        self.seen.append(frame - self.first)
        self.found.append(_values(face.box, face.landmarks, face.score))
        self.box, self.points = face.box, np.array(face.landmarks)


class Follower:
    """Follows faces from frame to frame.

    Args:
        min_score: of a face that starts a track; one that goes on needs no such score.
    """

    def __init__(self, min_score: float) -> None:
        self._min_score = min_score
        self._live: list[_Growing] = []
        self._done: list[_Growing] = []
        self._before: np.ndarray | None = None
        self._frame = -1
        self._shot = 0

    def add(
        self, gray: np.ndarray, time: float, faces: tuple[DetectedFace, ...], cut: bool, embed: Any = None
    ) -> None:
        """The next frame.

        Args:
            gray: luma [H, W] uint8.
            time: in seconds.
            faces: that were found in it.
            cut: whether another shot begins with it.
            embed: gives who a face is, [D] of length 1; None where nobody can tell.
        """
        self._frame += 1
        if cut:
            self._end_shot()
        self._move(gray, time)
        for track in [one for one in self._live if time - one.times[one.seen[-1]] > _LOST]:
            self._live.remove(track)
            self._done.append(track)
        free = self._matched_by_place(list(faces))
        for face in free:
            if face.score >= self._min_score and not self._matched_by_looks(face, embed):
                self._live.append(self._started(face, time))
        for track in self._live:
            if embed and track.seen[-1] == self._frame - track.first and _is_due(track):
                track.embeddings.append(embed(_face(track.found[-1], 0, track.size)))
        self._before = gray

    def finish(self) -> list[Track]:
        """All tracks, once the last frame was added."""
        self._frame += 1
        self._end_shot()
        kept = sorted(self._done, key=lambda one: (one.first, -one.area, one.found[0].tolist()))
        self._done = []
        return [_finished(number, one) for number, one in enumerate(kept)]

    def _end_shot(self) -> None:
        for track in self._live:
            track.ends = track.first + track.seen[-1] + 1 < self._frame
        fewest = min(_FEWEST, self._frame - self._shot)
        ended = [*self._done, *self._live]
        self._done = [one for one in ended if one.first < self._shot or len(one.seen) >= fewest]
        self._live, self._before, self._shot = [], None, self._frame

    def _move(self, gray: np.ndarray, time: float) -> None:
        """Where the faces of the frame before are now."""
        for track in self._live:
            motion = None if self._before is None else motion_between(self._before, gray, track.points)
            motion = _STILL if motion is None else motion
            track.box, track.points = moved_box(motion, track.box), moved_points(motion, track.points)
            track.paths.append(motion @ track.paths[-1])
            track.times.append(time)

    def _matched_by_place(self, faces: list[DetectedFace]) -> list[DetectedFace]:
        """Give faces to the tracks that expect them there, the best match first; returns the others."""
        pairs = [(_overlap(track.box, face.box), track, face) for track in self._live for face in faces]
        taken: list[object] = []
        for overlap, track, face in sorted(pairs, key=lambda pair: -pair[0]):
            if overlap >= _SAME and track not in taken and face not in taken:
                track.see(self._frame, face)
                taken += [track, face]
        return [face for face in faces if face not in taken]

    def _matched_by_looks(self, face: DetectedFace, embed: Any) -> bool:
        """Give a face to a track that was lost a moment ago, if it is the same person."""
        lost = [one for one in self._live if one.seen[-1] < self._frame - one.first and one.embeddings]
        if not lost or embed is None:
            return False
        person = embed(face)
        likeness = [max(float(known @ person) for known in track.embeddings) for track in lost]
        best = int(np.argmax(likeness))
        if likeness[best] < _ALIKE:
            return False
        track = lost[best]
        points = track.found[-1][4:14].reshape(5, 2)
        jump = similarity(_points(points), face.landmarks).numpy()
        track.paths[-1] = np.vstack([jump, _STILL[2]]) @ track.paths[track.seen[-1]]
        track.see(self._frame, face)
        return True

    def _started(self, face: DetectedFace, time: float) -> _Growing:
        start, points = self._frame > self._shot, np.array(face.landmarks)
        track = _Growing(self._frame, start, face.box, points, face.image_size, [time], [_STILL])
        track.see(self._frame, face)
        return track


def _is_due(track: _Growing) -> bool:
    """Once a second: who somebody is does not change."""
    return len(track.embeddings) <= track.times[-1] - track.times[0]


def _finished(number: int, track: _Growing) -> Track:
    count = track.seen[-1] + 1
    times, paths, seen = np.array(track.times[:count]), np.stack(track.paths[:count]), np.array(track.seen)
    found = np.stack(track.found)
    landmarks = found[:, 4:14].reshape(-1, 5, 2)
    points = smoothed_landmarks(times, paths, seen, landmarks)
    # The last frame in which it was found; the first frame is one.
    nearest = np.searchsorted(seen, np.arange(count), side="right") - 1
    # A box moves along with its landmarks.
    shift = (points - landmarks[nearest]).mean(1)
    values = found[nearest]
    values[:, :4] += np.tile(shift, 2)
    values[:, 4:14] = points.reshape(count, 10)
    strength = eased(times.tolist(), track.starts, track.ends, _EASE)
    return Track(number, track.first, times, values, track.size, strength, tuple(track.embeddings))


def _values(box: Box, landmarks: Points, score: float) -> np.ndarray:
    return np.array([*box, *(v for point in landmarks for v in point), score], np.float32)


def _face(values: np.ndarray, index: int, size: tuple[int, int]) -> DetectedFace:
    x0, y0, x1, y1 = values[:4].tolist()
    score = float(values[14])
    return DetectedFace((x0, y0, x1, y1), _points(values[4:14].reshape(5, 2)), score, index, size)


def _points(values: np.ndarray) -> Points:
    return tuple((x, y) for x, y in values.tolist())


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    sides = [max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1)]
    areas = [max(0.0, c[2] - c[0]) * max(0.0, c[3] - c[1]) for c in (a, b)]
    shared = sides[0] * sides[1]
    return shared / max(sum(areas) - shared, 1e-9)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(float(seconds), 60)
    return f"{int(minutes)}:{rest:05.2f}"
