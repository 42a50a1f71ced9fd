"""SD.Next's Process Video: its scripts are given a film, and no image."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.hosts.webui import stub

FRAMES = 3


@pytest.fixture
def film(host, tmp_path, portrait):
    """Three frames with a face, the second one gray, and half a second of sound."""
    av = pytest.importorskip("av")
    host.shared.opts.outdir_video = str(tmp_path / "videos")
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as made:
        seen, heard = made.add_stream("libx264", rate=25, options={"crf": "1"}), made.add_stream("aac", 24000)
        seen.width = seen.height = 256
        seen.pix_fmt = "yuv420p"
        small = portrait.resize((256, 256))
        for number, image in enumerate((small, Image.new("RGB", small.size, "gray"), small)):
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            made.mux(seen.encode(frame))
        made.mux(seen.encode(None))
        tone = np.sin(np.arange(12_000) / 9)[None].astype(np.float32)
        sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        sound.sample_rate = 24000
        for one in (sound, None):
            made.mux(heard.encode(one))
    return path


def contents(path) -> tuple[list[np.ndarray], list[bytes]]:
    """Frames and packets of sound."""
    import av

    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
    with av.open(str(path)) as film:
        sound = [bytes(packet) for packet in film.demux(audio=0) if packet.dts is not None]
    return frames, sound


def process(host, path, **values):
    pp = host.modules["modules.scripts_postprocessing"].PostprocessedImage(video=str(path))
    host.script.GpenExtras().process(pp, enable=True, visibility=1, **values)
    assert pp.image is None
    return pp


pytestmark = pytest.mark.parametrize("host", ["sdnext"], indirect=True)


def test_faces_of_a_film_are_restored_and_its_sound_stays(host, film, expected):
    before, heard = contents(film)
    pp = process(host, film)
    assert pp.info["GPEN faces"] == "2 of 3 frames"
    assert pp.video == str(film.parent / "videos" / "film-gpen.mp4")
    after, same = contents(pp.video)
    assert same == heard
    assert len(heard) > 5
    assert len(after) == FRAMES
    wanted = expected(Image.fromarray(before[0].astype(np.uint8)))
    face = np.abs(wanted - before[0]).max(-1) > 8
    assert face.sum() > 100
    assert np.abs(after[0] - wanted)[face].mean() < np.abs(after[0] - before[0])[face].mean() / 3
    assert np.abs(after[1] - before[1]).max() <= 2
    assert process(host, film).video.endswith("film-gpen-1.mp4")  # what is there stays


def test_an_interrupted_film_stays_as_it_is(host, film, monkeypatch):
    stub.warnings.clear()
    check, looks = host.door("host").WebuiHost.check_interrupt, []

    def press(self):
        looks.append(1)
        host.shared.state.interrupted = len(looks) > 20
        check(self)

    monkeypatch.setattr(host.door("host").WebuiHost, "check_interrupt", press)
    assert process(host, film).video == str(film)
    assert [*(film.parent / "videos").iterdir()] == []
    (sentence,) = stub.warnings
    assert sentence.startswith("GPEN: not restored: Interrupted")


@pytest.mark.parametrize("content", [b"", b"no film at all"])
def test_no_film_is_a_sentence(host, film, content):
    stub.warnings.clear()
    film.write_bytes(content)
    pp = process(host, film)
    assert pp.video == str(film)
    assert "film.mp4 cannot be read as a film" in pp.info["GPEN faces"]
    assert str(film.parent) not in pp.info["GPEN faces"]


def test_an_old_pyav_is_a_sentence(host, film, monkeypatch):
    import av

    monkeypatch.setattr(av, "__version__", "16.0.1")
    pp = process(host, film)
    assert pp.video == str(film)
    assert "newer PyAV than 16.0.1" in pp.info["GPEN faces"]
    assert "pip install 'av>=17.1'" in pp.info["GPEN faces"]


def test_progress_counts_frames_in_two_passes(host, film, monkeypatch):
    steps, state = [], host.shared.state
    film_host = host.door("film")._FilmHost
    stage = film_host.stage

    def note(self, *told):
        stage(self, *told)
        steps.append((state.job_no, state.sampling_step, state.sampling_steps, state.textinfo))

    monkeypatch.setattr(film_host, "stage", note)
    process(host, film)
    assert (0, 0, FRAMES, f"GPEN: following faces, 0 of {FRAMES} frames") in steps
    assert steps[-1] == (1, FRAMES, FRAMES, f"GPEN: restoring faces, {FRAMES} of {FRAMES} frames")
    assert state.job_count == 2


def test_a_film_without_a_face_is_copied(host, film, tmp_path):
    pp = process(host, film, min_face=512)
    assert pp.info["GPEN faces"] == f"0 of {FRAMES} frames"
    assert Path(pp.video).read_bytes() == film.read_bytes()


def test_a_model_for_pictures_alone_is_a_sentence(host, film):
    pp = process(host, film, task="colorize")
    assert pp.video == str(film)
    assert "is for pictures, and this is a film" in pp.info["GPEN faces"]


def test_what_is_neither_image_nor_film_passes(host):
    pp = SimpleNamespace(image=None, info={})
    host.script.GpenExtras().process(pp, enable=True, visibility=1)
    assert pp.info == {}
