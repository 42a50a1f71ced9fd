"""From photos to a model and its figures, as a user does it."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from gpen_nodes import to_uint8
from gpen_nodes.checkpoints import read_checkpoint
from gpen_nodes.cli import main
from gpen_nodes.facesets import FaceStore
from gpen_nodes.model import GpenConfig
from gpen_nodes.training import read_config

ROOT = Path(__file__).resolve().parents[2]
STAGE = """
size = 64
narrow = 0.125
style_dim = 32
mapping_depth = 2
steps = 2
batch = 2
[recipe]
scale = [2, 4]
"""


def call(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def photos(astronaut, tmp_path_factory) -> Path:
    """The portrait three ways, so that one can be kept out of training, and a photo of nobody."""
    folder = tmp_path_factory.mktemp("photos")
    portrait = Image.fromarray(to_uint8(astronaut))
    portrait.save(folder / "a.png")
    ImageOps.mirror(portrait).save(folder / "b.png")
    portrait.convert("L").save(folder / "c.png")
    Image.new("RGB", (200, 200), "gray").save(folder / "nobody.png")
    return folder


@pytest.fixture(scope="module")
def faces(photos, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    assert call("prepare", photos, folder, "--size", 64) == 0
    return folder


@pytest.fixture
def stage(tmp_path) -> Path:
    path = tmp_path / "stage.toml"
    path.write_text(STAGE, encoding="utf-8")
    return path


def test_prepare_finds_the_faces_and_says_which_photos_have_none(photos, tmp_path, capsys):
    assert call("prepare", photos, tmp_path / "faces", "--size", 64) == 0
    said = capsys.readouterr()
    assert said.out == f"3 faces in {tmp_path / 'faces'}, 1 photos without.\n"
    assert "nobody.png: no face of 64 px or more." in said.err
    store = FaceStore(tmp_path / "faces")
    assert store.sources == ["a.png", "b.png", "c.png"]
    assert store[0].shape == (64, 64, 3)


def test_the_whole_way(faces, stage, tmp_path, capsys):
    """Train, and go on at the larger size from what was trained."""
    run = tmp_path / "run"
    words = ["train", "--config", stage, f"faces={faces}"]
    assert call(*words, f"run={run}") == 0
    assert capsys.readouterr().out == f"{run}/model.safetensors\n"
    model = read_checkpoint(run / "model.safetensors")
    assert model.config == GpenConfig(64, 64, 0.125, 1, style_dim=32, mapping_depth=2)
    assert read_config(run / "config.toml").recipe.scale == (2, 4)

    larger = [f"run={tmp_path / 'run128'}", f"start={run / 'model.safetensors'}", "size=128", "steps=1"]
    assert call(*words, *larger) == 0
    assert read_checkpoint(tmp_path / "run128" / "model.safetensors").config.size == 128


def test_only_train_needs_lightning_fabric(photos, stage, tiny_checkpoint, tmp_path):
    """As it is installed without the extra ``train``, in a process of its own."""
    script = "import sys; sys.modules['lightning_fabric'] = None; from gpen_nodes.cli import main;"
    script += "sys.exit(main(sys.argv[1:]))"

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, *map(str, words)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    made = run("prepare", photos, tmp_path / "faces", "--size", 64)
    assert made.returncode == 0, made.stderr
    figures = run("evaluate", "--data", tmp_path / "faces", "--model", tiny_checkpoint, "--limit", 1)
    assert figures.returncode == 0, figures.stderr
    refused = run("train", "--config", stage, f"faces={tmp_path / 'faces'}", f"run={tmp_path / 'run'}")
    assert refused.returncode == 1
    assert "Training needs lightning_fabric: pip install 'gpen-nodes[train]'." in refused.stderr


def test_identity_takes_mobilefacenet(faces, stage, tiny_checkpoint, shared_data, tmp_path, capsys):
    embedder = shared_data / "detectors" / "MobileFaceNet.onnx"
    words = [
        "train",
        "--config",
        stage,
        f"faces={faces}",
        f"run={tmp_path / 'run'}",
        "identity=0.1",
        "steps=1",
    ]
    assert call(*words) == 1
    assert "The term identity needs weights, and networks.mobilefacenet" in capsys.readouterr().err
    assert call(*words, f"networks.mobilefacenet={embedder}") == 0
    with (tmp_path / "run" / "losses.csv").open() as file:
        step = next(csv.DictReader(file))
    assert 0 < float(step["identity"]) < 0.2  # a cosine's distance, times 0.1


def test_train_refuses_what_it_cannot_read(faces, stage, tiny_checkpoint, tmp_path, capsys):
    def refusal(config: Path, *words: str) -> str:
        places = [f"faces={faces}", f"run={tmp_path / 'run'}"]
        assert call("train", "--config", config, *places, *words) == 1
        assert not (tmp_path / "run").exists()
        said = capsys.readouterr().err.strip()
        assert said.startswith("gpen-nodes: ")
        return said

    assert "nowhere.toml cannot be read as TOML: " in refusal(tmp_path / "nowhere.toml")
    assert "No aligned faces at" in refusal(stage, f"faces={tmp_path / 'empty'}")
    assert "nowhere.pth" in refusal(stage, f"start={tmp_path / 'nowhere.pth'}")
    assert "Unknown options of recipe: scales. Known: " in refusal(stage, "recipe.scales=[2, 4]")
    assert "Unknown training options: step. Known: " in refusal(stage, "step=3")
    found = refusal(stage, "size=256", f"start={tiny_checkpoint}")
    assert "The start model has 64 px in and 64 px out, and the run 256 px" in found
    stage.write_text("steps = [")
    assert "stage.toml cannot be read as TOML: " in refusal(stage)
    stage.write_bytes("# Größe\nsteps = 2".encode("latin-1"))
    assert "stage.toml cannot be read as TOML: " in refusal(stage)


def test_a_dry_run_says_what_it_would_take(faces, stage, tmp_path, capsys):
    run = tmp_path / "run"
    assert call("train", "--config", stage, f"faces={faces}", f"run={run}", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "million parameters" in said
    assert "GB a process" in said
    assert "faces/s" in said
    assert not run.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["prepare", "{empty}", "{out}"], "{empty} holds no picture; looked for"),
        (["prepare", "{photos}", "{out}", "--min_face", "400"], "No face of 400 px or more in the 4 photos"),
        (["prepare", "{photos}", "{out}", "--template", "nose"], "nose"),
    ],
)
def test_refusals(words, sentence, photos, faces, tiny_checkpoint, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    places = {"empty": tmp_path / "empty", "out": tmp_path / "out", "photos": photos, "faces": faces}
    places["tiny"] = tiny_checkpoint
    assert call(*(word.format(**places) for word in words)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence.format(**places) in said.err
    assert said.err.splitlines()[-1].startswith("gpen-nodes: ")
    assert not (tmp_path / "out").exists()
