"""Films in containers (MP4, MKV, WebM, MOV …) by PyAV: the picture is written anew, all else is copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic import replacing
from ..errors import ImageError
from .encoders import choose_encoder, choose_layout, load_av, quality_options
from .film import Change, Frame
from .planes import add_change, as_planar, check_frame, to_rgb
from .streams import Copies

__all__ = ["VideoFile"]

_COLOURS = ("color_range", "color_primaries", "color_trc", "colorspace")


class VideoFile:
    """A film in a container, with sound and whatever else lies beside its picture.

    Args:
        path: of the film.
        encoder: FFmpeg's name of the encoder that writes it; None takes one of the film's own codec.
        crf: constant quality, on the encoder's scale; None takes a good one.
    """

    def __init__(self, path: Path, *, encoder: str | None = None, crf: float | None = None) -> None:
        load_av()
        self.path = path
        self._encoder, self._crf = encoder, crf
        self._damaged = 0
        self._left_out: tuple[str, ...] = ()
        with self._opened() as (_, stream):
            self.length: int | None = stream.frames or _frames_by_time(stream)

    @property
    def notes(self) -> tuple[str, ...]:
        damage = f"{self._damaged} damaged parts of the film were left out."
        return (*([damage] if self._damaged else []), *self._left_out)

    def frames(self) -> Iterator[Frame]:
        with self._opened() as (container, stream):
            yield from self._frames(self._packets(container, [stream]), stream)

    def rewrite(self, target: Path, change: Change) -> None:
        av = load_av()
        with self._opened() as (container, stream), replacing(target) as temporary:
            try:
                output = av.open(str(temporary), "w")
            except (av.FFmpegError, ValueError) as error:
                raise ImageError(
                    f"{target}: {_said(error)}. Name a film such as .mp4, .mkv or .webm."
                ) from error
            try:
                with output:
                    self._copy(container, stream, output, target, change)
            except av.FFmpegError as error:
                raise ImageError(f"{target} cannot be written: {_said(error)}.") from error

    def _copy(self, container: Any, stream: Any, output: Any, target: Path, change: Change) -> None:
        encoder = choose_encoder(self._encoder, stream.codec_context.name, output, str(target))
        writer = _Writer(output, stream, encoder, quality_options(encoder.name, self._crf), target)
        copies = Copies(container, output, stream, target)
        self._left_out = copies.left_out
        packets = copies.mux_others(self._packets(container, [stream, *copies.inputs]))
        for frame, image in change(self._frames(packets, stream)):
            writer.write(frame, image, copies)
        writer.finish(copies)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        av = load_av()
        try:
            container = av.open(str(self.path), metadata_errors="replace")
        except (av.FFmpegError, OSError) as error:
            raise ImageError(f"{self.path} cannot be read as a film: {_said(error)}.") from error
        with container:
            # A cover is a film of one frame.
            covers = av.stream.Disposition.attached_pic
            films = [one for one in container.streams.video if not one.disposition & covers]
            if not films:
                raise ImageError(f"{self.path} holds no film, but {_kinds(container)}.")
            if films[0].codec_context is None:
                raise ImageError(f"{self.path} holds a film of a codec that this build of PyAV cannot read.")
            films[0].thread_type = "AUTO"
            yield container, films[0]

    def _packets(self, container: Any, streams: list[Any]) -> Iterator[Any]:
        """Packets in the order of the file; what breaks off the file ends them."""
        av = load_av()
        packets = container.demux(streams)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                self._damaged += 1
                return

    def _frames(self, packets: Iterator[Any], stream: Any) -> Iterator[Frame]:
        av = load_av()
        name, last, count = str(self.path), None, 0
        self._damaged = 0
        for packet in packets:
            try:
                decoded = packet.decode()
            except av.error.InvalidDataError:
                self._damaged += 1
                continue
            for raw in decoded:
                check_frame(raw, name)
                picture = _Picture(
                    _like(raw, as_planar(raw, name), _pts(raw, last, stream)),
                    round(raw.rotation / 90) % 4,
                    _display_matrix(raw),
                )
                last, count = picture.raw.pts, count + 1
                image = torch.rot90(to_rgb(picture.raw), picture.turns, (1, 2))
                yield Frame(image, float(last * raw.time_base), picture)
        if not count:
            raise ImageError(f"{name} holds no frame that can be read.")


@dataclass(frozen=True, eq=False)
class _Picture:
    """A decoded frame.

    Attributes:
        raw: PyAV's, with a plane for each component.
        turns: quarter turns, as ``torch.rot90`` counts them, that make it upright.
        matrix: how players are to turn and mirror it; None leaves it as it is.
    """

    raw: Any
    turns: int
    matrix: list[int] | None


class _Writer:
    """The picture's stream of a film that is written; opened by the first frame, whose colours it takes."""

    def __init__(self, output: Any, source: Any, encoder: Any, options: dict[str, str], target: Path) -> None:
        self._source, self._encoder, self._target = source, encoder, target
        self._stream = output.add_stream(encoder.name, rate=source.guessed_rate or 25, options=options)
        self._layout = ""

    def write(self, frame: Frame, image: Tensor | None, copies: Copies) -> None:
        """Encode a frame with what ``image`` changes of it."""
        picture = frame.source
        if image is not None:
            _put(picture, frame.image, image)
        if not self._layout:
            self._open(picture)
        raw = picture.raw
        if raw.format.name != self._layout:
            raw = _like(raw, raw.reformat(format=self._layout), raw.pts)
        raw.pict_type = 0  # else the encoder would repeat the kinds of the film that was read
        copies.mux(self._stream.encode(raw))

    def finish(self, copies: Copies) -> None:
        copies.mux(self._stream.encode(None))

    def _open(self, picture: _Picture) -> None:
        context, source, raw = self._stream.codec_context, self._source, picture.raw
        self._layout = choose_layout(self._encoder, raw.format, str(self._target))
        context.width, context.height, context.pix_fmt = raw.width, raw.height, self._layout
        context.time_base = raw.time_base
        if source.sample_aspect_ratio:
            context.sample_aspect_ratio = source.sample_aspect_ratio
        for name in _COLOURS:
            setattr(context, name, getattr(raw, name))
        if self._encoder.canonical_name == "hevc" and self._target.suffix.lower() in (".mp4", ".mov", ".m4v"):
            context.codec_tag = "hvc1"  # the kind of HEVC that Apple's players take
        if picture.matrix:
            self._stream.set_display_matrix(picture.matrix)


def _put(picture: _Picture, before: Tensor, after: Tensor) -> None:
    """Change a decoded frame where an upright image differs from what it was."""
    change = torch.rot90(after - before, -picture.turns, (1, 2))[0]
    reached = (change != 0).any(-1)
    if not reached.any():
        return
    rows, columns = (reached.any(axis).nonzero().flatten() for axis in (1, 0))
    # Chroma may have a value for 4 × 4 pixels.
    top, left = int(rows[0]) // 4 * 4, int(columns[0]) // 4 * 4
    part = change[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    add_change(picture.raw, part, left, top)


def _pts(raw: Any, last: int | None, stream: Any) -> int:
    """A frame's time stamp; later than ``last``, whatever a damaged file says."""
    pts = raw.pts if raw.pts is not None else raw.dts
    if pts is None:
        step = 1 / ((stream.guessed_rate or 25) * raw.time_base)
        pts = 0 if last is None else last + max(1, round(step))
    return pts if last is None or pts > last else last + 1


def _like(raw: Any, frame: Any, pts: int) -> Any:
    """``frame``, which was made of ``raw``, with its time and colours."""
    frame.time_base, frame.pts = raw.time_base, pts
    if frame is not raw:
        for name in _COLOURS:
            setattr(frame, name, getattr(raw, name))
    return frame


def _display_matrix(raw: Any) -> list[int] | None:
    for one in raw.side_data:
        if one.type.name == "DISPLAYMATRIX":
            return memoryview(bytes(one)).cast("i").tolist()
    return None


def _frames_by_time(stream: Any) -> int | None:
    if stream.duration and stream.time_base and stream.average_rate:
        return round(stream.duration * stream.time_base * stream.average_rate)
    container = stream.container
    if container.duration and stream.average_rate:
        return round(container.duration / 1_000_000 * stream.average_rate)
    return None


def _kinds(container: Any) -> str:
    return ", ".join(sorted({one.type for one in container.streams})) or "nothing"


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
