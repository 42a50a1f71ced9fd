"""``gpen-nodes restore --ray``: the same files as without, and one job with it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from PIL import Image

from gpen_nodes import to_uint8
from gpen_nodes.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def words(astronaut, tiny_checkpoint, tmp_path, monkeypatch):
    """Of a folder with five portraits and a picture that is broken off."""
    monkeypatch.chdir(tmp_path)
    portrait = Image.fromarray(to_uint8(astronaut)[:300, 100:400])
    Path("photos/sub").mkdir(parents=True)
    for k in range(5):
        portrait.resize((300 + 8 * k, 300)).save(Path("photos", "sub" if k > 3 else "", f"p{k}.png"))
    Path("photos/poison.png").write_bytes(Path("photos/p0.png").read_bytes()[:90])
    return ["restore", "-i", "photos", "--model_path", str(tiny_checkpoint), "--face_align"]


def tree(folder: str) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def test_the_same_files_and_a_job_that_moves(words, monkeypatch, capsys):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'gpen-nodes[ray]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the workers
    here = [*words, "--devices", "cpu*2", "-o", "here", "--report", "here.json"]  # one thread each, as there
    assert main(here) == 1
    there = [*words, "--devices", "cpu*2", "-o", "there", "--report", "there.json", "--ray"]
    capsys.readouterr()
    assert main(there) == 1
    told = capsys.readouterr().err
    assert "poison.png is damaged" in told
    assert "5 of 6 pictures done, 5 faces restored" in told
    assert len(tree("here")) == 5
    assert tree("there") == tree("here")
    report = Path("there.json").read_text().replace("there", "here")
    assert json.loads(report) == json.loads(Path("here.json").read_text())
    # The job goes on without Ray: only what failed is done again.
    Path("photos/poison.png").unlink()
    Path("there/p0.png").unlink()
    assert main([word for word in there if word != "--ray"]) == 0
    assert "5 of 5 pictures done, 4 of them before" in capsys.readouterr().err
    assert tree("there") == tree("here")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--ray", "photos"], "--ray photos: expected auto"),
        (["--ray", "--devices", "cuda:0,cuda:1"], "the cluster chooses the cards"),
        (["--ray", "--device", "mps"], "the cluster chooses the cards"),
    ],
)
def test_options_that_fit_no_cluster(words, more, said, capsys):
    assert main([*words, "-o", "out", *more]) == 1
    assert said in capsys.readouterr().err


def test_a_dry_run_starts_no_cluster(words, capsys):
    assert main([*words, "-o", "out", "--ray", "1.2.3.4:1", "--dry_run"]) == 0
    assert "6 to be done" in capsys.readouterr().out


def test_a_worker_finds_files_that_were_named_from_here(words, monkeypatch):
    """Its own folder is another one."""
    from gpen_nodes.cli import cluster

    sent = []
    monkeypatch.setattr(cluster, "cluster", lambda address: contextlib.nullcontext([{"CPU": 1.0}]))
    monkeypatch.setattr(cluster, "on_workers", lambda tasks, load, workers: sent.append(load.args[0]) or ())
    files = ["--face_parser", "own/parser.onnx", "--detector_weights", "own/mtcnn"]
    main([*words, "-o", "out", *files, "--ray"])
    (recipe,) = sent
    here = Path.cwd()
    assert Path(recipe.options.judge.face_parser) == here / "own/parser.onnx"
    assert Path(recipe.options.detect.detector_weights) == here / "own/mtcnn"
    assert str(recipe.settings["options"]["face_parser"]) == "own/parser.onnx"  # as without Ray: one job
