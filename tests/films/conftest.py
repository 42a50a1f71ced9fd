"""Films to test with, made by PyAV itself."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def write_film():
    """Write a film of RGB frames [N, H, W, 3] uint8, with sound and all else that a film may have."""
    av = pytest.importorskip("av")

    def write(
        path: Path,
        frames: np.ndarray,
        *,
        codec: str = "libx264",
        layout: str = "yuv420p",
        colours: tuple[int, int, int, int] = (1, 1, 1, 1),
        steps: tuple[int, ...] = (40,),
        matrix: Sequence[int] = (),
        whole: bool = False,
    ) -> Path:
        """``colours`` are range, primaries, transfer and matrix; ``steps`` milliseconds between frames."""
        with av.open(str(path), "w") as output:
            stream = output.add_stream(codec, rate=25, options={"crf": "8"} if "libx26" in codec else {})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = layout
            context = stream.codec_context
            context.time_base = Fraction(1, 1000)
            names = "color_range", "color_primaries", "color_trc", "colorspace"
            for name, value in zip(names, colours, strict=True):
                setattr(context, name, value)
            if codec == "libx265":
                context.options = {"x265-params": "log-level=error"}
            if matrix:
                stream.set_display_matrix(matrix)
            sound = None
            if whole:
                sound = output.add_stream("aac", rate=44100)
                sound.layout = "mono"
                sound.metadata["language"] = "fra"
                output.metadata["title"] = "A Film"
                second = Fraction(1, 1000)
                chapter = {"id": 1, "start": 0, "end": 200, "time_base": second, "metadata": {"title": "One"}}
                output.set_chapters([chapter])
            time = 0
            for number, pixels in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame = frame.reformat(format=layout, dst_colorspace=1, dst_color_range=colours[0])
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                for name, value in zip(names, colours, strict=True):
                    setattr(frame, name, value)
                time += steps[number % len(steps)]
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
            if whole:
                _write_sound(av, output, sound, time / 1000)
        return path

    return write


def _write_sound(av, output, stream, seconds: float) -> None:
    for number in range(int(seconds * 44100 / 1024)):
        wave = np.sin((np.arange(1024) + 1024 * number) / 20, dtype=np.float32)[None] / 3
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.rate, frame.pts, frame.time_base = 44100, number * 1024, Fraction(1, 44100)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


@pytest.fixture(scope="session")
def pattern() -> np.ndarray:
    """[12, 64, 96, 3]: a soft picture that moves."""
    ys, xs = np.mgrid[:64, :96] / 16
    frames = [
        np.stack([np.sin(xs + k / 4), np.cos(ys - k / 5), np.sin(xs + ys)], -1) * 80 + 128 for k in range(12)
    ]
    return np.stack(frames).astype(np.uint8)


@pytest.fixture(scope="session")
def portrait(astronaut) -> np.ndarray:
    """[12, 256, 256, 3]: NASA's portrait of Eileen Collins, moving a little."""
    photo = (astronaut.numpy() * 255).astype(np.uint8)
    return np.stack([photo[k : k + 256, 100 + 2 * k : 356 + 2 * k] for k in range(12)])
