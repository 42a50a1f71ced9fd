"""``gpen-nodes restore`` on addresses of object stores; the workers run in this process."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from PIL import Image

from gpen_nodes import to_uint8
from gpen_nodes.batch import stores
from gpen_nodes.cli import cluster, main

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'gpen-nodes[ray]'")


@pytest.fixture
def store(monkeypatch):
    """fsspec's store in this process's memory, empty, and workers that share it."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    groups = []

    def on_workers(tasks, load, workers):
        work = load()
        for start in range(0, len(tasks), 2):
            group = tasks[start : start + 2]
            groups.append([job.name for job, _ in group])
            yield from enumerate(work(group), start)

    monkeypatch.setattr(cluster, "on_workers", on_workers)
    monkeypatch.setattr(cluster, "cluster", lambda address: contextlib.nullcontext([{"CPU": 2.0}]))
    files.groups = groups
    return files


@pytest.fixture
def words(astronaut, tiny_checkpoint, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    portrait = Image.fromarray(to_uint8(astronaut)[:300, 100:400])
    Path("photos/sub").mkdir(parents=True)
    for k in range(3):
        portrait.resize((300 + 8 * k, 300)).save(Path("photos", "sub" if k > 1 else "", f"p{k}.png"))
    Path("photos/poison.png").write_bytes(Path("photos/p0.png").read_bytes()[:90])
    for path in Path("photos").rglob("*.png"):
        store.pipe_file(f"/bucket/{path.as_posix()}", path.read_bytes())
    return ["restore", "--device", "cpu", "--model_path", str(tiny_checkpoint), "--face_align"]


THERE = ["-i", "memory://bucket/photos", "-o", "memory://bucket/restored", "--ray"]


def results(store, below: str = "/bucket/restored/") -> dict[str, bytes]:
    return {path.removeprefix(below): store.cat_file(path) for path in store.find(below)}


def test_the_same_files_as_on_a_disk(words, store, capsys):
    assert main([*words, "-i", "photos", "-o", "here", "--compare"]) == 1
    capsys.readouterr()
    assert main([*words, *THERE, "--compare", "--report", "report.json"]) == 1
    told = capsys.readouterr().err
    assert "memory://bucket/photos/poison.png is damaged" in told
    assert "3 of 4 pictures done, 3 faces restored" in told
    here = {path.relative_to("here").as_posix(): path.read_bytes() for path in Path("here").rglob("*.png")}
    assert len(here) == 6
    assert results(store) == here
    report = json.loads(Path("report.json").read_text())["images"]
    assert [entry["input"] for entry in report] == [
        f"memory://bucket/photos/{name}" for name in ("p0.png", "p1.png", "poison.png", "sub/p2.png")
    ]
    assert report[0]["output"] == "memory://bucket/restored/p0.png"


def test_a_job_goes_on(words, store, capsys):
    assert main([*words, *THERE]) == 1
    before = results(store)
    store.rm_file("/bucket/restored/p1.png")  # as if killed before it was sent
    store.groups.clear()
    assert main([*words, *THERE]) == 1
    assert store.groups == [["p1.png", "poison.png"]]
    assert results(store) == before
    store.pipe_file("/bucket/photos/p0.png", store.cat_file("/bucket/photos/p1.png"))
    store.groups.clear()
    assert main([*words, *THERE]) == 1
    assert store.groups == [["p0.png", "poison.png"]]
    store.groups.clear()
    assert main([*words, *THERE, "--strength", "0.5"]) == 1
    assert sum(map(len, store.groups)) == 4


def test_nobodys_object_is_replaced(words, store, capsys):
    store.pipe_file("/bucket/restored/p1.png", b"mine")
    assert main([*words, *THERE]) == 1
    assert "memory://bucket/restored/p1.png is there already" in capsys.readouterr().err
    assert results(store) == {"p1.png": b"mine"}
    assert main([*words, *THERE, "--overwrite"]) == 1
    assert len(results(store)) == 3


def test_results_below_the_pictures_are_no_pictures(words, store):
    inside = ["-i", "memory://bucket/photos", "-o", "memory://bucket/photos/done", "--ray"]
    assert main([*words, *inside]) == 1
    store.groups.clear()
    assert main([*words, *inside]) == 1
    assert store.groups == [["poison.png"]]


@pytest.mark.parametrize("name", ["../up.png", "a/../../up.png", "/etc/up.png", "a//b.png", "./a.png"])
def test_names_that_lead_elsewhere_are_refused(name):
    assert not stores.is_safe_name(name)
    assert stores.is_safe_name("a/b c.png")


def test_what_the_store_refuses_fails_alone(words, store, monkeypatch, capsys):
    real = type(store).pipe_file

    def refuse(self, path, value, *more, **named):
        if path.endswith("restored/p1.png"):
            raise PermissionError("no")
        return real(self, path, value, *more, **named)

    monkeypatch.setattr(type(store), "pipe_file", refuse)
    assert main([*words, *THERE]) == 1
    assert "could not take restored/p1.png: PermissionError: no" in capsys.readouterr().err
    assert sorted(results(store)) == ["p0.png", "sub/p2.png"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (THERE[:-1], "addresses are for --ray"),
        (["-i", "photos", "-o", "memory://bucket/x", "--ray"], "expected two addresses"),
        (["-i", "memory://bucket/none", "-o", "memory://bucket/x", "--ray"], "holds no picture"),
        (["-i", "memory://bucket/photos", "-o", "memory://bucket/photos", "--ray"], "would be replaced"),
        (["-i", "nowhere://a", "-o", "memory://bucket/x", "--ray"], "nowhere"),
        ([*THERE, "--save_faces", "faces"], "--save_faces"),
    ],
)
def test_addresses_that_do_not_fit(words, more, said, capsys):
    assert main([*words, *more]) == 1
    assert said in capsys.readouterr().err


def test_a_dry_run_names_addresses(words, capsys):
    assert main([*words, *THERE, "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert "memory://bucket/photos/sub/p2.png -> memory://bucket/restored/sub/p2.png" in shown
