"""Films in containers: all that is in one is in the other, and the picture differs where it was changed."""

from __future__ import annotations

import itertools
import sys
from fractions import Fraction

import numpy as np
import pytest

from gpen_nodes import GpenError, ImageError, MissingWeightsError, OptionError
from gpen_nodes.films import open_film

av = pytest.importorskip("av")


def unchanged(frames):
    return ((frame, None) for frame in frames)


def brighter(frames):
    """A square in the upper left corner of what is seen."""
    for frame in frames:
        image = frame.image.clone()
        image[:, :16, :32] += 0.2
        yield frame, image


def decoded(path):
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def described(path):
    with av.open(str(path)) as container:
        kinds = [(one.type, one.name, one.language) for one in container.streams if one.type != "data"]
        chapters = [(one["start"] * one["time_base"], one["metadata"]) for one in container.chapters()]
        return kinds, chapters, container.metadata.get("title")


def sound(path):
    with av.open(str(path)) as container:
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(audio=0) if p.size]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_all_else_is_kept(write_film, pattern, tmp_path, suffix):
    source = write_film(tmp_path / f"in{suffix}", pattern, whole=True, steps=(40, 77, 13))
    target = tmp_path / f"out{suffix}"
    open_film(source).rewrite(target, unchanged)
    assert described(target) == described(source)
    assert [data for _, data in sound(target)] == [data for _, data in sound(source)]
    assert [float(a) for a, _ in sound(target)] == pytest.approx(
        [float(a) for a, _ in sound(source)], abs=0.002
    )
    before, after = decoded(source), decoded(target)
    assert [frame.time for frame in after] == pytest.approx([frame.time for frame in before], abs=0.001)
    assert len({round(b.time - a.time, 3) for a, b in itertools.pairwise(after)}) == 3
    differences = [
        np.abs(a.to_ndarray() - b.to_ndarray().astype(int)).mean() for a, b in zip(before, after, strict=True)
    ]
    assert max(differences) < 1.5


@pytest.mark.parametrize(
    ("suffix", "codec", "layout", "colours"),
    [
        (".mp4", "libx264", "yuv420p", (1, 5, 6, 5)),
        (".mov", "libx264", "yuvj420p", (2, 1, 1, 5)),
        (".mkv", "libx265", "yuv420p10le", (1, 9, 18, 9)),  # HLG
        (".mp4", "libx264", "yuv422p10le", (1, 1, 1, 1)),
        (".mkv", "ffv1", "bgr0", (2, 1, 13, 0)),
    ],
)
def test_bits_and_colours_are_kept(write_film, pattern, tmp_path, suffix, codec, layout, colours):
    source = write_film(tmp_path / f"in{suffix}", pattern, codec=codec, layout=layout, colours=colours)
    target = tmp_path / f"out{suffix}"
    open_film(source).rewrite(target, unchanged)
    names = "color_range", "color_primaries", "color_trc", "colorspace"
    for frame in (decoded(source)[0], decoded(target)[0]):
        assert frame.format.name == layout
        assert tuple(int(getattr(frame, name)) for name in names) == colours


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],  # a telephone's: right becomes down
)
def test_frames_are_upright_and_stay_as_they_are_turned(write_film, pattern, tmp_path, matrix, turns):
    a, b, c, d = (value << 16 for value in matrix)
    source = write_film(tmp_path / "in.mp4", pattern, matrix=[a, b, 0, c, d, 0, 0, 0, 1 << 30])
    target = tmp_path / "out.mp4"
    film = open_film(source)
    upright = next(iter(film.frames())).image
    assert np.abs(upright[0].numpy() - np.rot90(pattern[0], turns) / 255).mean() < 0.03
    film.rewrite(target, brighter)
    assert decoded(target)[0].rotation == decoded(source)[0].rotation != 0
    seen = next(iter(open_film(target).frames())).image - upright
    assert (seen[:, :16, :32] - 0.2).abs().mean() < 0.02
    assert seen[:, 24:].abs().mean() < 0.02


def test_a_change_reaches_the_file(write_film, pattern, tmp_path):
    source = write_film(tmp_path / "in.mp4", pattern)
    film, target = open_film(source), tmp_path / "out.mp4"
    film.rewrite(target, brighter)
    for a, b in zip(open_film(source).frames(), open_film(target).frames(), strict=True):
        change = b.image - a.image
        assert (change[:, 2:14, 2:30] - 0.2).abs().mean() < 0.02
        assert change[:, 24:].abs().mean() < 0.01


@pytest.mark.parametrize("when", [0, 3])
def test_an_interrupt_leaves_no_file(write_film, pattern, tmp_path, when):
    source, target = write_film(tmp_path / "in.mp4", pattern), tmp_path / "out.mp4"
    target.write_bytes(b"as it was")

    def stopped(frames):
        for number, frame in enumerate(frames):
            if number == when:
                raise KeyboardInterrupt
            yield frame, None

    with pytest.raises(KeyboardInterrupt):
        open_film(source).rewrite(target, stopped)
    assert target.read_bytes() == b"as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_a_film_that_breaks_off_is_taken_as_far_as_it_goes(write_film, pattern, tmp_path):
    source = write_film(tmp_path / "in.mkv", np.concatenate([pattern] * 4), whole=True)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    film = open_film(source)
    film.rewrite(tmp_path / "out.mkv", unchanged)
    assert 3 < len(decoded(tmp_path / "out.mkv")) < 48


def test_no_film_is_a_sentence(tmp_path, write_film, pattern):
    (tmp_path / "text.mp4").write_text("no film at all")
    with pytest.raises(ImageError, match=r"text.mp4 cannot be read as a film"):
        open_film(tmp_path / "text.mp4")
    with pytest.raises(ImageError, match=r"none.mp4 cannot be read as a film"):
        open_film(tmp_path / "none.mp4")
    with av.open(str(tmp_path / "sound.mka"), "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        output.mux(stream.encode(frame))
    with pytest.raises(ImageError, match=r"sound.mka holds no film, but audio"):
        open_film(tmp_path / "sound.mka")
    source = write_film(tmp_path / "in.mp4", pattern)
    with pytest.raises(GpenError, match=r"out.xyz.*Name a film"):
        open_film(source).rewrite(tmp_path / "out.xyz", unchanged)
    assert not (tmp_path / "out.xyz").exists()


def test_interlaced_films_are_a_sentence(write_film, pattern, tmp_path):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("mpeg2video", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.codec_context.flags |= 1 << 18  # AV_CODEC_FLAG_INTERLACED_DCT
        for one in pattern:
            frame = av.VideoFrame.from_ndarray(one, format="rgb24").reformat(format="yuv420p")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(ImageError, match=r"in.mkv is interlaced.*bwdif"):
        list(open_film(source).frames())


def test_encoders_by_name(write_film, pattern, tmp_path):
    source = write_film(tmp_path / "in.mp4", pattern, whole=True)
    sizes = []
    for crf in (10, 45):
        target = tmp_path / f"{crf}.mkv"
        open_film(source, encoder="libx265", crf=crf).rewrite(target, unchanged)
        sizes.append(target.stat().st_size)
        assert described(target)[0][0][1] == "hevc"
    assert sizes[0] > sizes[1]
    with pytest.raises(OptionError, match=r"--encoder nonsense: this build of PyAV has none"):
        open_film(source, encoder="nonsense").rewrite(tmp_path / "a.mp4", unchanged)
    with pytest.raises(OptionError, match=r"--crf: the encoder ffv1"):
        open_film(source, encoder="ffv1", crf=3).rewrite(tmp_path / "a.mkv", unchanged)
    with pytest.raises(ImageError, match=r"cannot hold the film's audio \(aac\)"):
        open_film(source).rewrite(tmp_path / "a.webm", unchanged)
    deep = write_film(tmp_path / "deep.mkv", pattern, layout="yuv444p10le")
    with pytest.raises(ImageError, match=r"pixels as yuv444p10le, and libsvtav1 takes"):
        open_film(deep, encoder="libsvtav1").rewrite(tmp_path / "a.mkv", unchanged)
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "deep.mkv", "10.mkv", "45.mkv"}


def test_subtitles_are_kept(write_film, pattern, tmp_path):
    source = tmp_path / "in.mkv"
    plain = write_film(tmp_path / "plain.mkv", pattern)
    texts_file = tmp_path / "text.srt"
    texts_file.write_text("1\n00:00:00,100 --> 00:00:00,300\nHello\n")
    files = av.open(str(plain)), av.open(str(texts_file)), av.open(str(source), "w")
    with files[0] as film, files[1] as texts, files[2] as out:
        streams = [out.add_stream_from_template(one.streams[0]) for one in (film, texts)]
        for container, stream in zip((film, texts), streams, strict=True):
            for packet in container.demux():
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
    target = tmp_path / "out.mkv"
    open_film(source).rewrite(target, unchanged)
    assert described(target) == described(source)
    with av.open(str(target)) as container:
        assert b"Hello" in b"".join(bytes(packet) for packet in container.demux(subtitles=0) if packet.size)


def test_without_pyav_the_command_that_installs_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingWeightsError, match=r"pip install 'av>=17\.1'"):
        open_film(tmp_path / "film.mp4")
