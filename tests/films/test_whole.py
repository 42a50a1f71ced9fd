"""Films restored whole: by the library, by the command, and by batches of images."""

from __future__ import annotations

import json
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes import (
    FaceError,
    FilmOptions,
    ImageError,
    LocalHost,
    OptionError,
    get_restorer,
    open_film,
    restore_film,
    restore_frames,
    restore_image,
)
from gpen_nodes.cli import main

# A network of random weights makes nobody's face: what is restored has to be seen all the same.
SEEN = {"guard_identity": False, "keep_front": False, "keep_detail": 0.0, "colour": "model"}


@pytest.fixture(scope="module")
def restorer(tiny_checkpoint):
    return get_restorer(tiny_checkpoint, "fp32", "cpu")


@pytest.fixture(scope="module")
def frames(portrait):
    return torch.from_numpy(portrait).float() / 255


@pytest.fixture
def restore(tiny_checkpoint):
    def call(*words) -> int:
        return main(["restore", "--device", "cpu", "--model_path", str(tiny_checkpoint), *map(str, words)])

    return call


def test_a_batch_is_restored_where_its_face_is(frames, restorer):
    host = LocalHost("cpu")
    result = restore_frames(frames, restorer, host=host, **SEEN)
    (choice,) = result.choices
    assert choice.selected
    assert (choice.track.first, len(choice.track)) == (0, 12)
    assert "face of" in result.text
    assert result.image.shape == frames.shape
    x, y = map(int, choice.track.face(6).centre)
    change = (result.image - frames).abs().sum(-1)
    assert change[6, y - 20 : y + 20, x - 20 : x + 20].mean() > 0.05
    assert (change[:, -8:] == 0).all()


def test_without_stability_it_is_as_photos_are_but_for_alignment(frames, restorer):
    """One frame is a film in which nothing has to be held: the same as a photo, to the last bit."""
    host = LocalHost("cpu")
    film = restore_frames(frames[:1], restorer, host=host, stability=0, **SEEN)
    photo = restore_image(frames[:1], restorer, host=host, **SEEN)
    assert (film.image - photo.image).abs().max() < 1e-3


def test_steps_do_not_depend_on_how_many_go_through_at_once(frames, restorer, monkeypatch):
    from gpen_nodes.films import restoring

    whole = restore_frames(frames, restorer, host=LocalHost("cpu"), **SEEN).image
    monkeypatch.setattr(restoring, "_FRAMES", 1)
    assert (restore_frames(frames, restorer, host=LocalHost("cpu"), **SEEN).image - whole).abs().max() < 1e-4


def test_alpha_and_frames_without_faces_stay(frames, restorer):
    empty = torch.full_like(frames[:4], 0.5)
    batch = torch.cat([frames[:6], empty])
    batch = torch.cat([batch, torch.rand(10, 256, 256, 1)], -1)
    image = restore_frames(batch, restorer, host=LocalHost("cpu"), **SEEN).image
    assert torch.equal(image[..., 3], batch[..., 3])
    assert torch.equal(image[6:], batch[6:])


def test_a_model_for_another_task_is_refused(frames, tiny_checkpoint):
    colouring = get_restorer(tiny_checkpoint, "fp32", "cpu", task="colorize")
    with pytest.raises(OptionError, match="task colorize is for pictures, and this is a film"):
        restore_frames(frames, colouring, host=LocalHost("cpu"), **SEEN)


def test_tracks_and_people_are_chosen(frames, restorer, shared_data, monkeypatch):
    host = LocalHost("cpu")
    none = restore_frames(frames, restorer, host=host, tracks="1", **SEEN)
    assert torch.equal(none.image, frames)
    assert none.choices[0].why == "track 0 was not asked for"
    large = restore_frames(frames, restorer, host=host, min_face=500, **SEEN)
    assert "smaller than min_face" in large.choices[0].why
    from gpen_nodes.faces import identity

    weights = shared_data / "detectors" / "MobileFaceNet.onnx"
    for module in ("gpen_nodes.faces.identity", "gpen_nodes.weight_files.search"):
        monkeypatch.setattr(f"{module}.locate", lambda file, folders=(): weights)
    identity._embedder.cache_clear()
    same = restore_frames(frames, restorer, host=host, person=frames[3], **SEEN)
    assert same.choices[0].selected
    other = Image.open(shared_data / "photos" / "lisa" / "lisa_lisa1.jpg").convert("RGB")
    stranger = torch.from_numpy(np.array(other)).float() / 255
    result = restore_frames(frames, restorer, host=host, person=stranger, **SEEN)
    assert "not alike enough" in result.choices[0].why
    with pytest.raises(FaceError, match="picture of the person"):
        restore_frames(frames, restorer, host=host, person=torch.full((64, 64, 3), 0.5), **SEEN)


def test_a_host_is_told_and_asked(frames, restorer):
    class Told(LocalHost):
        stages: list[tuple[str, int, int]]

        def stage(self, name: str, done: int, total: int) -> None:
            self.stages.append((name, done, total))

    host = Told("cpu")
    host.stages = []
    restore_frames(frames, restorer, host=host, **SEEN)
    names = [name for name, _, _ in host.stages]
    assert names == sorted(names)  # first followed, then restored
    assert host.stages[-1] == ("Restoring faces", 12, 12)

    class Stopped(LocalHost):
        def check_interrupt(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_frames(frames, restorer, host=Stopped("cpu"))


def test_a_film_without_faces_is_copied(write_film, pattern, restorer, tmp_path):
    pytest.importorskip("av")
    source = write_film(tmp_path / "in.mp4", pattern, whole=True)
    assert restore_film(open_film(source), tmp_path / "out.mp4", restorer, host=LocalHost("cpu")) == []
    assert (tmp_path / "out.mp4").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animated_pictures(frames, portrait, restorer, tmp_path, suffix):
    pictures = [Image.fromarray(one) for one in portrait]
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    durations = [40, 120] * 6
    pictures[0].save(source, save_all=True, append_images=pictures[1:], duration=durations, loop=3)
    film = open_film(source)
    assert [round(frame.time, 2) for frame in film.frames()][:4] == [0.0, 0.04, 0.16, 0.2]
    restore_film(film, target, restorer, host=LocalHost("cpu"), **SEEN)
    again = open_film(target)
    assert again.length == 12
    assert [f.time for f in again.frames()] == pytest.approx([f.time for f in film.frames()])
    with Image.open(target) as file:
        assert file.info.get("loop") == 3
    before, after = (next(iter(one.frames())).image for one in (film, again))
    assert 0.02 < (before - after).abs().mean() < 0.2


def test_a_gif_is_written_frame_by_frame(portrait, tmp_path, monkeypatch):
    from gpen_nodes.films import animation

    made, most, picture = [], [], animation._picture

    def watched(*words):
        one = picture(*words)
        made.append(weakref.ref(one))
        most.append(sum(known() is not None for known in made))
        return one

    monkeypatch.setattr(animation, "_picture", watched)
    pictures = [Image.fromarray(one) for one in portrait]
    pictures[0].save(tmp_path / "in.gif", save_all=True, append_images=pictures[1:])
    open_film(tmp_path / "in.gif").rewrite(tmp_path / "out.gif", lambda all_: ((one, None) for one in all_))
    assert len(most) == 12
    assert max(most) <= 3


def test_transparency_of_an_animation_stays(portrait, restorer, tmp_path):
    alpha = np.full((256, 256, 1), 255, np.uint8)
    alpha[:40] = 0
    pictures = [Image.fromarray(np.concatenate([one, alpha], -1)) for one in portrait]
    pictures[0].save(tmp_path / "in.webp", save_all=True, append_images=pictures[1:], lossless=True)
    restore_film(open_film(tmp_path / "in.webp"), tmp_path / "out.webp", restorer, host=LocalHost("cpu"))
    with Image.open(tmp_path / "out.webp") as file:
        assert np.array_equal(np.asarray(file.convert("RGBA"))[..., 3], alpha[..., 0])


def test_a_folder_of_frames(portrait, restore, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, one in enumerate(portrait):
        Image.fromarray(one).save(folder / f"frame{number}.png")
    assert restore(folder, "--film", "-o", tmp_path / "out", "--colour", "model", "--keep_detail", 0) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"frame{k}.png" for k in range(12)}
    with Image.open(tmp_path / "out" / "frame10.png") as file:
        assert 0.5 < np.abs(np.asarray(file).astype(int) - portrait[10]).mean() < 40
    Image.new("RGB", (64, 64)).save(folder / "frame99.png")
    with pytest.raises(ImageError, match=r"Frame 13 is 64×64 px and those before 256×256"):
        restore_film(open_film(folder), tmp_path / "other", get_restorer_of(restore), host=LocalHost("cpu"))


def get_restorer_of(restore):
    return get_restorer(restore.__closure__[0].cell_contents, "fp32", "cpu")


class TestCommand:
    """``gpen-nodes restore film.mp4 -o out.mp4``."""

    def test_a_film(self, restore, write_film, portrait, tmp_path, capsys):
        source, target = write_film(tmp_path / "in.mp4", portrait, whole=True), tmp_path / "out.mp4"
        report = tmp_path / "report.json"
        words = (
            "--report",
            report,
            "--crf",
            10,
            "--colour",
            "model",
            "--keep_detail",
            0,
            "--no-guard_identity",
        )
        assert restore(source, "-o", target, *words) == 0
        assert "1 of 1 faces restored" in capsys.readouterr().err
        (entry,) = json.loads(report.read_text())["films"]
        assert entry["output"] == str(target)
        (track,) = entry["tracks"]
        assert (track["track"], track["frames"], track["selected"]) == (0, 12, True)
        before, after = (list(open_film(path).frames()) for path in (source, target))
        change = np.stack([(b.image - a.image).abs().mean() for a, b in zip(before, after, strict=True)])
        assert (change > 0.01).all()

    def test_a_plan_is_shown_and_nothing_is_replaced(self, restore, write_film, pattern, tmp_path, capsys):
        source = write_film(tmp_path / "in.mp4", pattern)
        assert restore(source, "--dry_run") == 0
        assert f"{source} -> {tmp_path / 'in_restored.mp4'}" in capsys.readouterr().out
        assert restore(source, "-o", source) == 1
        assert "is an input and would be replaced" in capsys.readouterr().err
        (tmp_path / "in_restored.mp4").write_bytes(b"mine")
        assert restore(source) == 1
        assert (tmp_path / "in_restored.mp4").read_bytes() == b"mine"

    def test_one_broken_film_stops_no_other(self, restore, write_film, pattern, tmp_path, capsys):
        broken = tmp_path / "broken.mp4"
        broken.write_bytes(b"nothing")
        good = write_film(tmp_path / "good.mp4", pattern)
        assert restore(broken, good, "-o", tmp_path / "out") == 1
        assert "broken.mp4 cannot be read as a film" in capsys.readouterr().err
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.mp4"]

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["a.mp4", "b.jpg"], "restore films and photos in two calls"),
            (["a.jpg", "--crf", "20"], "--crf is for films"),
            (["a.jpg", "--stability", "0.5"], "--stability is for films"),
            (["a.mp4", "--compare"], "--compare is for photos"),
            (["a.mp4", "--stability", "2"], "--stability is 2.0; expected a number from 0 to 1"),
            (["a.mp4", "b.mp4", "-o", "out.mp4"], "cannot all become out.mp4"),
        ],
    )
    def test_what_makes_no_sense_is_a_sentence(self, restore, capsys, words, said):
        assert restore(*words) == 1
        assert said in capsys.readouterr().err

    @pytest.mark.parametrize("found", [None, SimpleNamespace(__version__="16.0.1")])
    def test_without_a_pyav_that_is_new_enough_it_is_named(
        self, restore, monkeypatch, tmp_path, capsys, found
    ):
        (tmp_path / "in.mp4").write_bytes(b"")
        monkeypatch.setitem(sys.modules, "av", found)
        assert restore(tmp_path / "in.mp4") == 1
        said = capsys.readouterr().err
        assert ("than 16.0.1" if found else "not installed") in said
        assert "pip install 'av>=17.1'" in said


def test_options_are_checked():
    with pytest.raises(OptionError, match=r"stability is 1.5; expected a number from 0 to 1"):
        FilmOptions(stability=1.5)
    with pytest.raises(OptionError, match="tracks is 'x'"):
        FilmOptions(tracks="x")
