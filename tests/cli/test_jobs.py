"""Jobs of many pictures, as a user runs, kills and resumes them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes import to_uint8
from gpen_nodes.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(astronaut, tmp_path, monkeypatch):
    """Six portraits and a picture without a face, in the current folder."""
    monkeypatch.chdir(tmp_path)
    portrait = Image.fromarray(to_uint8(astronaut)[:300, 100:400])
    (tmp_path / "sub").mkdir()
    for k in range(6):
        turned = portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if k % 2 else portrait
        turned.resize((300 + 8 * k, 300)).save(tmp_path / ("sub" if k > 3 else "") / f"p{k}.png")
    noise = np.random.default_rng(0).integers(100, 120, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "blank.jpg", quality=60)
    return tmp_path


@pytest.fixture
def words(tiny_checkpoint):
    return ["restore", "--device", "cpu", "--model_path", str(tiny_checkpoint), "--face_align"]


@pytest.fixture
def restore(words):
    return lambda *more: main([*words, *map(str, more)])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def count_restored(monkeypatch) -> list[str]:
    """The names of the pictures that are read from now on."""
    from gpen_nodes.batch import restoring

    seen, real = [], restoring.read_image_file

    def read(path, *more):
        seen.append(Path(path).name)
        return real(path, *more)

    monkeypatch.setattr(restoring, "read_image_file", read)
    return seen


def test_a_second_run_does_nothing_again(folder, restore, monkeypatch, capsys):
    words = ["-i", ".", "-o", "out", "--report", "report.json"]
    assert restore(*words) == 0
    before = tree(folder)
    seen = count_restored(monkeypatch)
    assert restore(*words) == 0
    assert seen == []
    assert tree(folder) == before  # the report, too
    assert "7 of 7 pictures done, 7 of them before, 6 faces restored" in capsys.readouterr().err
    assert restore(*words, "--redo") == 0
    assert len(seen) == 7
    assert restore(*words, "--strength", "0.5") == 0
    assert len(seen) == 14


def test_beside_the_inputs_too(folder, restore, monkeypatch):
    assert restore("-i", ".") == 0
    before = tree(folder)
    seen = count_restored(monkeypatch)
    assert restore("-i", ".") == 0
    assert seen == []
    assert tree(folder) == before
    shutil.copy("p0.png", "p9.png")
    assert restore("-i", ".") == 0
    assert seen == ["p9.png"]


def test_pictures_that_replace_themselves_are_restored_once(folder, restore, monkeypatch):
    assert restore("-i", "sub", "-o", "sub", "--overwrite") == 0
    before = tree(folder)
    seen = count_restored(monkeypatch)
    assert restore("-i", "sub", "-o", "sub", "--overwrite") == 0
    assert seen == []
    assert tree(folder) == before


def test_a_failed_picture_is_tried_again(folder, restore, monkeypatch):
    whole = Path("p1.png").read_bytes()
    Path("p1.png").write_bytes(whole[:50])
    assert restore("-i", ".", "-o", "out") == 1
    Path("p1.png").write_bytes(whole)
    seen = count_restored(monkeypatch)
    assert restore("-i", ".", "-o", "out") == 0
    assert seen == ["p1.png"]


def start(words, *more) -> subprocess.Popen:
    command = [sys.executable, "-m", "gpen_nodes", *words, *more]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=_as_from_a_shell
    )


def _as_from_a_shell() -> None:
    """What runs in the background, or under nohup, ignores these, and so would its children."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def wait_for(manifest: Path, lines: int, process: subprocess.Popen) -> None:
    for _ in range(1200):
        if manifest.exists() and manifest.read_bytes().count(b"\n") >= lines:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("it never came so far")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of Unix")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
def test_a_job_goes_on_after_a_signal(folder, words, restore, name):
    extra = ["--compare", "--save_faces", "faces", "--report", "report.json"]
    for k in range(12):
        shutil.copy("p0.png", f"q{k:02d}.png")
    assert restore("-i", ".", "-o", "whole/out", *extra) == 0
    expected = tree(folder / "whole" / "out"), tree(folder / "faces")
    for path in ("whole", "faces"):
        shutil.rmtree(path)
    process = start(words, "-i", ".", "-o", "whole/out", *extra)
    wait_for(folder / "whole" / "out.manifest.jsonl", 2, process)
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=120)
    assert process.returncode == (-9 if name == "SIGKILL" else 130), said
    manifest = (folder / "whole" / "out.manifest.jsonl").read_text().splitlines()
    assert 2 <= len(manifest) < 19
    if name != "SIGKILL":
        assert all(json.loads(line) for line in manifest)
        assert not list(folder.rglob(".gpen-nodes-*"))
    assert restore("-i", ".", "-o", "whole/out", *extra) == 0
    assert (tree(folder / "whole" / "out"), tree(folder / "faces")) == expected
    assert not list(folder.rglob(".gpen-nodes-*"))
    assert len(json.loads(Path("report.json").read_text())["images"]) == 19


def test_shards_together_are_the_whole(folder, restore):
    assert restore("-i", ".", "-o", "whole") == 0
    words = ["-i", "sub", *(f"p{k}.png" for k in range(4)), "-o", "parts", "--shard"]
    for k in (1, 2, 3):
        assert restore(*words, f"{k}/3") == 0
    assert {Path(n).name for n in tree(folder / "parts")} == {f"p{k}.png" for k in range(6)}
    for name, data in tree(folder / "parts").items():
        assert data in tree(folder / "whole").values(), name


@pytest.fixture
def one_thread():
    """Another number of torch's threads changes last bits, and several networks share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_devices_change_no_picture(folder, words):
    words = [w for w in words if w not in ("--device", "cpu")]
    for devices, out in (("cpu", "one"), ("cpu*2", "two"), ("cpu,cpu", "three")):
        assert main([*words, "-i", ".", "-o", out, "--devices", devices]) == 0
        shutil.move(out, f"../{folder.name}-{out}")
        Path(f"{out}.manifest.jsonl").unlink()
    one, two, three = (tree(folder.parent / f"{folder.name}-{k}") for k in ("one", "two", "three"))
    assert one == two == three


@pytest.mark.parametrize("devices", ["", "cpu*0", "cpu*x", "warp9", ",cpu"])
def test_devices_that_make_no_sense(folder, words, devices, capsys):
    words = [w for w in words if w not in ("--device", "cpu")]
    assert main([*words, "-i", ".", "-o", "out", "--devices", devices]) == 1
    assert "--devices" in capsys.readouterr().err


def test_a_dry_run_shows_all_and_writes_nothing(folder, restore, capsys):
    before = tree(folder)
    words = ["-i", ".", "-o", "out", "--compare", "--save_faces", "faces", "--report", "r.json"]
    Path("notes.txt").touch()
    before = tree(folder)
    assert restore(*words, "--dry_run") == 0
    shown = capsys.readouterr().out
    for name in ("out/p0.png", "out/p0_compare.png", "faces/p0_*.png", "r.json", "notes.txt", "7 to be done"):
        assert name.replace("/", os.sep) in shown
    assert tree(folder) == before
    assert restore(*words) == 0
    assert restore(*words, "--dry_run") == 0
    assert "0 to be done, 7 finished" in capsys.readouterr().out


def test_a_fault_of_the_program_is_one_pictures(folder, restore, monkeypatch, capsys):
    from gpen_nodes.batch import restoring

    real = restoring.find_and_align

    def find(image, *more, **named):
        if image.shape[2] == 308:  # p1
            raise ZeroDivisionError("oops")
        return real(image, *more, **named)

    monkeypatch.setattr(restoring, "find_and_align", find)
    assert restore("-i", ".", "-o", "out") == 1
    said = capsys.readouterr().err
    assert "p1.png: A fault of this program" in said
    assert "ZeroDivisionError: oops" in said
    assert "6 of 7 pictures done" in said


def test_a_picture_without_a_face_keeps_its_bytes(folder, restore, capsys):
    assert restore("-i", "blank.jpg", "-o", "out") == 0
    assert Path("out/blank.jpg").read_bytes() == Path("blank.jpg").read_bytes()
    said = capsys.readouterr().err
    assert "unchanged" in said
    assert "--quarter_turns" in said
    assert restore("-i", "blank.jpg", "-o", "blank.webp") == 0
    assert "stored anew" in capsys.readouterr().err


def test_a_report_onto_an_input_is_refused(folder, restore, capsys):
    before = tree(folder)
    assert restore("-i", ".", "-o", "out", "--report", "p0.png", "--overwrite") == 1
    assert "--report" in capsys.readouterr().err
    assert tree(folder) == before


def test_a_report_makes_its_folder(folder, restore):
    assert restore("-i", "p0.png", "-o", "x.png", "--report", "new/folder/report.json") == 0
    assert Path("new/folder/report.json").is_file()


def test_files_of_other_origin_are_not_replaced(folder, restore, capsys):
    Path("out").mkdir()
    Path("out/p0.png").write_bytes(b"mine")
    assert restore("-i", "p0.png", "-o", "out") == 1
    assert "is there already" in capsys.readouterr().err
    assert Path("out/p0.png").read_bytes() == b"mine"
    assert restore("-i", "p0.png", "-o", "out", "--overwrite") == 0
    assert Path("out/p0.png").read_bytes() != b"mine"


def test_an_input_without_rights_asks_for_rights_to_read(folder, restore, monkeypatch, capsys):
    real = Path.open

    def forbidden(self, *arguments, **named):
        if self.name == "p0.png":
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", forbidden)
    assert restore("-i", "p0.png", "-o", "out") == 1
    said = capsys.readouterr().err
    assert "right to read" in said
    assert "write to" not in said


def test_over_long_names_are_a_sentence(folder, restore, capsys):
    assert restore("-i", "x" * 5000 + ".png", "-o", "out") == 1
    assert restore("-i", "p0.png", "-o", "y" * 300 + ".png") == 1
    assert "too long" in capsys.readouterr().err


def test_degrading_replaces_no_file_of_other_origin(folder, capsys):
    assert main(["degrade", "-i", "sub", "-o", "bad"]) == 0
    assert main(["degrade", "-i", "sub", "-o", "bad"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["degrade", "-i", "sub", "-o", "bad", "--overwrite"]) == 0
    assert main(["degrade", "-i", "sub", "-o", "sub", "--overwrite"]) == 1


def test_a_reader_that_has_seen_enough_is_no_error(tiny_checkpoint):
    script = (
        "import os, sys; from gpen_nodes.cli import main;"
        "end, start = os.pipe(); os.dup2(start, 1); os.close(start); os.close(end);"
        f"status = main(['inspect', {str(tiny_checkpoint)!r}]); print(status, file=sys.stderr)"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert run.stderr.strip() == "141"
