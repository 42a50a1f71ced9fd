"""The command as a user calls it, on a real photo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes import to_uint8
from gpen_nodes.batch import find_pictures, names_file, plan_jobs
from gpen_nodes.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def photo(astronaut, tmp_path):
    path = tmp_path / "in" / "astronaut.png"
    path.parent.mkdir()
    Image.fromarray(to_uint8(astronaut)).save(path)
    return path


@pytest.fixture
def restore(tiny_checkpoint):
    """Call ``gpen-nodes restore`` with a fast model that restores nothing."""

    def call(*words) -> int:
        return main(["restore", "--device", "cpu", "--model_path", str(tiny_checkpoint), *map(str, words)])

    return call


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file)


def test_the_documented_command_line(photo, tiny_checkpoint, tmp_path):
    """As the documents show it, in a process of its own."""
    words = ["--input", photo, "--output", tmp_path / "restored_face.png", "--model_path", tiny_checkpoint]
    command = [sys.executable, ROOT / "run_gpen.py", *words, "--size", "64", "--face_align"]
    run = subprocess.run([str(w) for w in command], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "1 face restored" in run.stderr
    before, after = pixels(photo), pixels(tmp_path / "restored_face.png")
    changed = (before != after).any(axis=2)
    assert after.shape == before.shape
    assert 0 < changed.mean() < 0.4  # what a sharp face lacks, and not the picture around it


def test_the_shipped_model_brings_a_degraded_photo_nearer_to_the_truth(astronaut, photo, tmp_path):
    degraded, restored = tmp_path / "degraded.png", tmp_path / "restored.png"
    assert main(["degrade", "-i", str(photo), "-o", str(degraded), "--evaluation"]) == 0
    assert main(["restore", "-i", str(degraded), "-o", str(restored), "--face_align", "--device", "cpu"]) == 0
    face = (slice(60, 200), slice(160, 290))
    truth = pixels(photo)[face].astype(float)
    errors = [np.square(pixels(p)[face].astype(float) - truth).mean() for p in (degraded, restored)]
    assert errors[1] < errors[0]


def test_report_faces_and_comparison(photo, restore, tmp_path):
    out, report = tmp_path / "out.png", tmp_path / "report.json"
    words = ["--compare", "--report", report, "--save_faces", tmp_path / "faces"]
    assert restore("-i", photo, "-o", out, "--face_align", *words) == 0
    (entry,) = json.loads(report.read_text())["images"]
    (face,) = entry["faces"]
    assert entry["input"] == str(photo)
    assert entry["output"] == str(out)
    assert face["restored"] is True
    assert face["score"] > 0.9
    x0, y0, x1, y1 = face["box"]
    assert all(x0 < x < x1 and y0 < y < y1 for x, y in face["landmarks"])
    assert pixels(tmp_path / "out_compare.png").shape == (512, 1024, 3)
    saved = sorted(p.name for p in (tmp_path / "faces").iterdir())
    assert saved == ["astronaut_face00_aligned.png", "astronaut_face00_restored.png"]


def test_cuda_graphs_change_no_picture_on_a_cpu(photo, restore, tmp_path):
    out, graphed = tmp_path / "out.png", tmp_path / "graphed.png"
    assert restore("-i", photo, "-o", out, "--face_align") == 0
    assert restore("-i", photo, "-o", graphed, "--face_align", "--cuda_graphs") == 0
    assert np.array_equal(pixels(graphed), pixels(out))


def test_faces_that_are_left_out_are_reported(photo, restore, tmp_path):
    report = tmp_path / "report.json"
    assert (
        restore("-i", photo, "-o", tmp_path / "o.png", "--face_align", "--min_face", 400, "--report", report)
        == 0
    )
    (face,) = json.loads(report.read_text())["images"][0]["faces"]
    assert face["restored"] is False
    assert "min_face" in face["why"]
    assert np.array_equal(pixels(tmp_path / "o.png"), pixels(photo))


def test_a_folder_with_a_bad_file_is_done_all_the_same(photo, restore, tmp_path, capsys):
    (photo.parent / "sub").mkdir()
    Image.new("RGB", (80, 60), "gray").save(photo.parent / "sub" / "blank.jpg")
    (photo.parent / "broken.png").write_bytes(photo.read_bytes()[:999])
    report = tmp_path / "report.json"
    assert restore("-i", photo.parent, "-o", tmp_path / "out", "--face_align", "--report", report) == 1
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert written == ["astronaut.png", os.path.join("sub", "blank.jpg")]
    said = capsys.readouterr().err
    assert "broken.png" in said
    assert "no face found" in said
    assert "2 of 3 pictures done, 1 faces restored" in said
    entries = {Path(e["input"]).name: e for e in json.loads(report.read_text())["images"]}
    assert "error" in entries["broken.png"]
    assert entries["broken.png"]["output"] is None


def test_an_aligned_crop_is_restored_whole(photo, restore, tmp_path):
    models_face = ["--colour", "model", "--keep_detail", "0", "--no-keep_front", "--no-guard_identity"]
    words = ["--face_align", "--save_faces", tmp_path, *models_face]
    assert restore("-i", photo, "-o", tmp_path / "o.png", *words) == 0
    crop = tmp_path / "astronaut_face00_aligned.png"
    assert restore("-i", crop, "-o", tmp_path / "whole.png", *models_face) == 0
    restored = pixels(tmp_path / "astronaut_face00_restored.png").astype(int)
    assert np.abs(pixels(tmp_path / "whole.png").astype(int) - restored).max() <= 12  # the crop was rounded


class Stranger:
    """In the place of MobileFaceNet: nobody looks like anybody."""

    def __init__(self) -> None:
        self.people = iter(torch.eye(8))

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        assert crops.shape[-2:] == (112, 112)
        return next(self.people)[None]


@pytest.mark.parametrize(
    ("strength", "why"), [(1, "unlike the person before"), (0, "strength is 0")], ids=["stranger", "0"]
)
def test_a_crop_that_stays_as_it_was_is_not_called_restored(
    photo, restore, tmp_path, monkeypatch, strength, why
):
    monkeypatch.setattr("gpen_nodes.faces.judging.find_embedder", Stranger)
    report = tmp_path / "report.json"
    words = ["-i", photo, "-o", tmp_path / "o.png", "--force", "--strength", strength, "--report", report]
    assert restore(*words) == 0
    (face,) = json.loads(report.read_text())["images"][0]["faces"]
    assert face["restored"] is False
    assert why in face["why"]


def test_a_photo_without_face_align_is_refused_unless_forced(photo, restore, tmp_path, capsys):
    out = tmp_path / "o.png"
    assert restore("-i", photo, "-o", out) == 1
    said = capsys.readouterr().err
    assert "--face_align" in said
    assert "--force" in said
    assert not out.exists()
    assert restore("-i", photo, "-o", out, "--force") == 0
    assert pixels(out).shape == (64, 64, 3)


def test_the_check_of_a_crop_heeds_the_detectors_file(photo, restore, tmp_path, capsys):
    words = ["--detector", "retinaface_mobile0.25", "--detector_weights", tmp_path / "nowhere.pth"]
    assert restore("-i", photo, "-o", tmp_path / "o.png", *words) == 1
    assert "nowhere.pth" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--size", "2048"], r"--size 2048 contradicts.*64 px"),
        (["--strength", "1.5"], "--strength is 1.5"),
        (["--max_faces", "0"], "--max_faces is 0"),
        (["--softness", "0"], "--softness is 0.0; expected a number above 0"),
        (["--device", "warp9"], "--device warp9"),
        (["--model_path", "nowhere.pth"], "nowhere.pth"),
        (["--output", "in"], "is an input and would be replaced"),
    ],
)
def test_refusals(photo, restore, words, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = photo.read_bytes()
    assert restore("-i", photo.parent, "-o", "out", "--face_align", *words) == 1
    import re

    assert re.search(sentence, capsys.readouterr().err)
    assert photo.read_bytes() == before
    assert not Path("out").exists()


def test_a_face_on_its_side_is_found(photo, restore, tmp_path):
    report = tmp_path / "report.json"
    with Image.open(photo) as file:
        file.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png")
    words = ["-i", tmp_path / "turned.png", "-o", tmp_path / "o.png", "--face_align", "--report", report]
    for more in ([], ["--quarter_turns"]):
        assert restore(*words, *more) == 0
        assert len(json.loads(report.read_text())["images"][0]["faces"]) == 1


def test_another_detector_from_a_local_file(photo, restore, tmp_path, shared_data, capsys):
    out = tmp_path / "o.png"
    words = [
        "-i",
        photo,
        "-o",
        out,
        "--face_align",
        "--detector",
        "retinaface_mobile0.25",
        "--detector_weights",
    ]
    assert restore(*words, shared_data / "detectors" / "detection_mobilenet0.25_Final.pth") == 0
    assert "1 face restored" in capsys.readouterr().err
    assert restore(*words, tmp_path / "nowhere.pth") == 1
    assert "MIT" in capsys.readouterr().err


def test_an_input_is_replaced_when_asked(photo, restore):
    before = photo.read_bytes()
    assert restore("-i", photo, "-o", photo, "--face_align", "--overwrite") == 0
    assert photo.read_bytes() != before


def test_an_interrupt_leaves_whole_files_only(photo, restore, tmp_path, monkeypatch, capsys):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("gpen_nodes.cli.restore.restore_image", interrupted)
    assert restore("-i", photo, "-o", tmp_path / "out" / "o.png", "--face_align") == 130
    assert "interrupted" in capsys.readouterr().err
    assert not list(tmp_path.rglob("o*.png"))


def test_a_full_disk_is_one_sentence_and_no_half_file(photo, restore, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    (tmp_path / "out").mkdir()
    assert restore("-i", photo, "-o", tmp_path / "out" / "o.png", "--face_align") == 1
    assert "space" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


class TestPlan:
    """Which input becomes which output."""

    @pytest.fixture(autouse=True)
    def files(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for name in ("a.jpg", "b.png", "d/a.jpg", "d/e/c.gif", "notes.txt"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()

    def plan(self, *inputs, output=None):
        below = [] if output is None or names_file(output) else [Path(output).resolve()]
        jobs = plan_jobs(find_pictures(inputs, below).found, output, suffix="_restored")
        return {str(job.source): str(job.output) for job in jobs}

    def test_one_file(self):
        assert self.plan("a.jpg", output="x.png") == {"a.jpg": "x.png"}
        assert self.plan("a.jpg", output="out") == {"a.jpg": "out/a.jpg"}
        assert self.plan("a.jpg") == {"a.jpg": "a_restored.jpg"}

    def test_folders_are_mirrored_and_patterns_expanded(self):
        assert self.plan("d", output="out") == {"d/a.jpg": "out/a.jpg", "d/e/c.gif": "out/e/c.png"}
        assert self.plan("*.[jp]*g", output="out") == {"a.jpg": "out/a.jpg", "b.png": "out/b.png"}

    @pytest.mark.parametrize(
        ("inputs", "output", "sentence"),
        [
            (["*.bmp"], "out", "No file matches"),
            (["a.jpg", "b.png"], "x.png", "name a folder"),
            (["a.jpg", "d/a.jpg"], "out", "would both become"),
        ],
    )
    def test_refusals(self, inputs, output, sentence):
        with pytest.raises(Exception, match=sentence):
            self.plan(*inputs, output=output)
