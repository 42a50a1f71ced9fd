"""``gpen-nodes evaluate``: of models, of others' results, with and without truth."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from PIL import Image

from gpen_nodes import to_uint8
from gpen_nodes.cli import main
from gpen_nodes.evaluation.samples import PictureFolder
from gpen_nodes.facesets import FaceStore


def call(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def faces(astronaut, tmp_path_factory):
    """Three parts of the portrait as pictures, one of them a face."""
    folder = tmp_path_factory.mktemp("faces")
    for k, (top, left) in enumerate([(20, 140), (200, 100), (250, 250)]):
        Image.fromarray(to_uint8(astronaut[top : top + 192, left : left + 192])).save(folder / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def store(faces, tmp_path_factory):
    """The same as ``prepare`` stores faces, two of them of one photo."""
    folder = tmp_path_factory.mktemp("store")
    pixels = np.stack([np.asarray(Image.open(faces / f"{k}.png")) for k in range(3)])
    FaceStore.write(folder, pixels, ["x/photo.jpg", "x/photo.jpg", "y.jpg"])
    return folder


def summary(folder):
    with (folder / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_model_by_a_protocol(faces, tiny_checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["evaluate", "--data", faces, "--model", tiny_checkpoint, "--output", out, "--save_pictures"]
    assert call(*words) == 0
    said = capsys.readouterr()
    assert "protocol portraits-256: good portraits, three fixed degradations at 256 px." in said.out
    assert "LPIPS is left out: " in said.err
    rows = summary(out)
    assert [(row["level"], row["system"]) for row in rows] == [
        (level, system)
        for level in ("mild", "medium", "strong")
        for system in ("degraded", "bicubic", "unsharp", "tiny")
    ]
    assert all(row["pictures"] == "3" and 5 < float(row["PSNR (dB)"]) < 50 for row in rows)
    assert float(rows[0]["PSNR (dB)"]) > float(rows[4]["PSNR (dB)"]) > float(rows[8]["PSNR (dB)"])
    assert len(list((out / "pictures").rglob("*.png"))) == 3 * 5 * 3
    with Image.open(out / "pictures" / "mild" / "tiny" / "0.png") as picture:
        assert picture.size == (256, 256)

    # What another system would make of the written pictures has the same figures, by either way in.
    theirs = tmp_path / "theirs"
    for level in ("mild", "medium", "strong"):
        (theirs / level).parent.mkdir(exist_ok=True)
        (out / "pictures" / level / "tiny").rename(theirs / level)
    assert call("evaluate", "--data", faces, "--restored", theirs, "--output", tmp_path / "again") == 0
    again = [row for row in summary(tmp_path / "again") if row["system"] == "theirs"]
    assert [row["PSNR (dB)"] for row in again] == [r["PSNR (dB)"] for r in rows if r["system"] == "tiny"]
    alone = ["--restored", theirs / "mild", "--truth", out / "pictures" / "mild" / "truth"]
    assert call("evaluate", *alone, "--output", tmp_path / "alone") == 0
    (only,) = summary(tmp_path / "alone")
    assert only["PSNR (dB)"] == again[0]["PSNR (dB)"]
    assert only["SSIM"] == again[0]["SSIM"]


def test_prepared_faces_and_the_shipped_model(store, tmp_path, capsys):
    assert call("evaluate", "--data", store, "--limit", 2, "--output", tmp_path) == 0
    assert summary(tmp_path)[3]["system"] == "gpen-lite-256"
    with (tmp_path / "figures.csv").open(newline="") as file:
        names = [row["picture"] for row in csv.DictReader(file)]
    assert list(dict.fromkeys(names)) == ["x/photo", "x/photo_2"]


def test_real_faces_without_truth(faces, tmp_path, capsys):
    """Figures that need no truth need weights, which are not here: the table says so and has none."""
    words = ["evaluate", "--data", faces, "--protocol", "lfw", "--output", tmp_path / "out", "--limit", 1]
    assert call(*words) == 0
    assert "NIQE is left out: " in capsys.readouterr().err
    assert [row["system"] for row in summary(tmp_path / "out")] == ["degraded", "gpen-lite-256"]
    assert set(summary(tmp_path / "out")[0]) <= {"level", "system", "pictures", "NIQE"}
    assert call("evaluate", "--restored", faces) == 0
    assert capsys.readouterr().out.startswith("Without truth.\n\n| system | pictures |")


def test_one_bad_picture_does_not_stop_the_others(faces, tmp_path, capsys):
    for k in (0, 1):
        with Image.open(faces / f"{k}.png") as image:
            image.save(tmp_path / f"{k}.png")
    (tmp_path / "1.png").write_bytes(b"broken")
    assert call("evaluate", "--restored", tmp_path, "--truth", faces) == 1
    said = capsys.readouterr()
    assert f"| {tmp_path.name} | 1 | inf | 1.000 |" in said.out
    assert "1.png is no picture" in said.err
    assert "holds no picture named 2" in said.err


def test_an_interrupt_keeps_what_was_measured(faces, tmp_path, monkeypatch, capsys):
    reads = []

    def read(self, name, whole=PictureFolder.read):
        reads.append(name)
        if len(reads) > 4:  # a truth and a result of each of two pictures
            raise KeyboardInterrupt
        return whole(self, name)

    monkeypatch.setattr(PictureFolder, "read", read)
    assert call("evaluate", "--restored", faces, "--truth", faces, "--output", tmp_path) == 130
    assert "what was finished is kept" in capsys.readouterr().err
    assert summary(tmp_path)[0]["pictures"] == "2"


def test_two_models_of_one_name_are_told_apart(faces, tiny_checkpoint, tmp_path, capsys):
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "model.safetensors").write_bytes(tiny_checkpoint.read_bytes())
    models = [tmp_path / run / "model.safetensors" for run in ("first", "second")]
    assert (
        call("evaluate", "--data", faces, "--model", *models, "--limit", 1, "--output", tmp_path / "out") == 0
    )
    first, second = (
        [r for r in summary(tmp_path / "out") if r["system"] == f"{run}/model"] for run in ("first", "second")
    )
    assert len(first) == len(second) == 3
    assert all(math.isclose(float(a["SSIM"]), float(b["SSIM"])) for a, b in zip(first, second, strict=True))


def test_identity_takes_mobilefacenet(faces, shared_data, tmp_path):
    embedder = shared_data / "detectors" / "MobileFaceNet.onnx"
    assert (
        call("evaluate", "--restored", faces, "--truth", faces, "--embedder", embedder, "--output", tmp_path)
        == 0
    )
    assert float(summary(tmp_path)[0]["identity"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name the faces to restore (--data), or results"),
        (["--restored", "{faces}", "--model", "{tiny}"], "Name the faces to restore"),
        (["--data", "{faces}", "--truth", "{faces}"], "--data brings its own truth"),
        (["--data", "{faces}", "--save_pictures"], "name an --output folder"),
        (
            ["--data", "{faces}", "--protocol", "ours"],
            "expected one of portraits-256, portraits-512, held-out-512, celeba-hq, lfw",
        ),
        (["--data", "{empty}"], "No aligned faces in {empty}"),
        (["--data", "{faces}", "--model", "{empty}/none.pth"], "No checkpoint at"),
        (["--data", "{faces}", "--limit", "0"], "a limit of 0; expected"),
        (["--restored", "{faces}", "--embedder", "{empty}/none.onnx"], "none.onnx"),
        (["--restored", "{empty}", "--truth", "{empty}"], "{empty} holds no picture"),
    ],
)
def test_refusals(words, sentence, faces, tiny_checkpoint, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    places = {"empty": tmp_path / "empty", "faces": faces, "tiny": tiny_checkpoint}
    assert call("evaluate", *(word.format(**places) for word in words)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence.format(**places) in said.err
