"""A film of SD.Next's Process Video: the faces of each frame restored, the sound as it is."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from modules import paths, shared

from gpen_nodes import ImageError, MissingWeightsError, from_uint8, to_uint8

from .restore import restore

__all__ = ["restore_film"]

# As good as not to be told from the frames; what every browser plays.
_CODEC, _QUALITY = "libx264", {"crf": "16"}


def restore_film(path: str, options: dict[str, Any]) -> tuple[str, str]:
    """Restore a film into the host's folder of videos; one frame at a time is in memory.

    Args:
        path: of the film, which stays as it is.
        options: of ``restore``.

    Returns:
        The new film, and in how many of its frames there are restored faces, such as ``2 of 3 frames``.

    Raises:
        Stopped, GpenError: as ``restore``; nothing of the new film is left then.
    """
    try:
        import av  # which the host installs when somebody gives it a film
        import av.error
    except ImportError as error:
        raise MissingWeightsError("A film needs PyAV: `pip install av` with the WebUI's Python.") from error
    target = _new_file(Path(path).stem)
    unfinished = target.with_name(f".{target.name}")
    try:
        with av.open(path) as film, av.open(str(unfinished), "w") as made:
            restored, frames = _restore_frames(film, made, options)
        unfinished.replace(target)
    except av.error.FFmpegError as error:
        raise ImageError(
            f"{Path(path).name} can't be restored as a film: {error}. Save it as MP4."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return str(target), f"{restored} of {frames} frames"


def _restore_frames(film: Any, made: Any, options: dict[str, Any]) -> tuple[int, int]:
    """In how many frames there are restored faces, and how many frames there are."""
    if not film.streams.video:
        raise ImageError("The film has no pictures. Choose another file.")
    seen, sounds = film.streams.video[0], film.streams.audio
    stream = made.add_stream(_CODEC, rate=seen.average_rate or 25, options=_QUALITY)
    stream.width, stream.height = seen.width, seen.height
    stream.pix_fmt = "yuv444p" if seen.width % 2 or seen.height % 2 else "yuv420p"  # which needs even sides
    copies = {sound.index: made.add_stream_from_template(sound) for sound in sounds}
    restored = frames = 0
    shared.state.job_count = max(seen.frames, 1)
    for index, packet in _packets(film, seen, sounds):
        if index in copies:
            packet.stream = copies[index]
            made.mux(packet)
            continue
        for frame in packet.decode():
            result = restore(from_uint8(frame.to_ndarray(format="rgb24")), **options)
            restored += bool(result.faces)
            frames += 1
            shared.state.job_no = frames
            made.mux(stream.encode(_with_pixels(frame, to_uint8(result.image[0]))))
    made.mux(stream.encode(None))
    return restored, frames


def _packets(film: Any, seen: Any, sounds: Any) -> Iterator[tuple[int, Any]]:
    """Of pictures and sound, with the number of their stream; the last of a stream only ends it."""
    for packet in film.demux(seen, *sounds):
        if packet.stream is seen or packet.dts is not None:
            yield packet.stream.index, packet


def _with_pixels(frame: Any, pixels: np.ndarray) -> Any:
    """A frame of the same moment."""
    made = type(frame).from_ndarray(pixels, format="rgb24")
    made.pts, made.time_base = frame.pts, frame.time_base
    return made


def _new_file(stem: str) -> Path:
    """In the host's folder of videos; what is there stays."""
    opts = shared.opts
    folder = Path(paths.resolve_output_path(opts.outdir_samples, opts.outdir_video))
    folder.mkdir(parents=True, exist_ok=True)
    names = (f"{stem}-gpen{f'-{number}' if number else ''}.mp4" for number in count())
    return next(path for name in names if not (path := folder / name).exists())
