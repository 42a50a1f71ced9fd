"""The manifest and the delivery of files, killed wherever it hurts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpen_nodes import OptionError
from gpen_nodes.batch import Delivery, Job, Manifest, Shard, manifest_path, settings_key

SETTINGS = {"model": "m"}


@pytest.fixture
def job(tmp_path):
    (tmp_path / "a.png").write_bytes(b"input")
    return Job(
        tmp_path / "a.png", tmp_path / "out" / "a.png", "a.png", compare=tmp_path / "out" / "a_compare.png"
    )


@pytest.fixture
def path(tmp_path):
    return manifest_path(str(tmp_path / "out"), tmp_path)


def deliver(path, job, *, overwrite=b"") -> None:
    manifest = Manifest(path)
    with manifest.held():
        delivery = Delivery(manifest, path.name)
        folders = {job.output.parent}
        delivery.clear(folders)
        files = {file: lambda p: p.write_bytes(b"result" + overwrite) and None for file in job.files()}
        try:
            delivery.deliver(job, settings_key(job.source, SETTINGS), files, {"faces": []})
        finally:
            delivery.clear(folders)


class Killed(BaseException):
    """In the place of SIGKILL: nothing of ours runs after it."""


def test_a_finished_picture_is_known_until_something_changes(path, job):
    assert Manifest(path).is_finished(job, SETTINGS) is None
    deliver(path, job)
    assert path.name == "out.manifest.jsonl"
    record = Manifest(path).is_finished(job, SETTINGS)
    assert record is not None
    assert record.entry == {"faces": []}
    assert Manifest(path).is_finished(job, {"model": "other"}) is None
    job.compare.unlink()
    assert Manifest(path).is_finished(job, SETTINGS) is None
    deliver(path, job)
    job.source.write_bytes(b"another")
    assert Manifest(path).is_finished(job, SETTINGS) is None


def test_an_edited_result_is_not_ours_any_more(path, job):
    deliver(path, job)
    assert Manifest(path).made(job.output)
    job.output.write_bytes(b"edited by hand")
    assert not Manifest(path).made(job.output)


def test_a_job_may_move_to_another_place(path, job, tmp_path):
    deliver(path, job)
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    tmp_path.rename(moved)
    elsewhere = Job(moved / "a.png", moved / "out" / "a.png", "a.png")
    assert Manifest(moved / path.name).is_finished(elsewhere, SETTINGS)


@pytest.mark.parametrize("moves", [0, 1])
def test_killed_while_files_are_moved(path, job, monkeypatch, moves):
    """The line is there, and not all of the files: the picture is done again, and all are ours."""
    real, count = os.replace, 0

    def replace(*arguments):
        nonlocal count
        if count == moves:
            raise Killed
        count += 1
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            deliver(path, job)
    assert list(job.output.parent.glob(".gpen-nodes-*/*"))  # left behind
    manifest = Manifest(path)
    assert manifest.is_finished(job, SETTINGS) is None
    assert all(manifest.made(file) for file in job.files() if file.exists())
    deliver(path, job)
    assert sorted(p.name for p in job.output.parent.iterdir()) == ["a.png", "a_compare.png"]
    assert Manifest(path).is_finished(job, SETTINGS)


@pytest.mark.parametrize("length", [1, 40, -1])
def test_a_line_that_a_kill_broke_off_spoils_no_other(path, job, length):
    deliver(path, job)
    path.write_bytes(path.read_bytes() + path.read_bytes()[:length])
    assert Manifest(path).is_finished(job, SETTINGS)
    deliver(path, job)
    assert Manifest(path).is_finished(job, SETTINGS)
    assert len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize("line", [b"[]", b"{}", b'{"key": 1}', b"\xff\x00", b"null", b"1" * 5000])
def test_lines_of_other_origin_are_passed_over(path, job, line):
    path.write_bytes(line + b"\n")
    deliver(path, job)
    assert Manifest(path).is_finished(job, SETTINGS)


def test_a_failure_leaves_nothing(path, job):
    def fail(_):
        raise OSError(28, "No space left on device")

    manifest = Manifest(path)
    with manifest.held():
        delivery = Delivery(manifest, path.name)
        with pytest.raises(OSError, match="space"):
            delivery.deliver(job, "k", {job.output: lambda p: p.touch(), job.compare: fail}, {})
        delivery.clear([])
    assert list(job.output.parent.iterdir()) == []
    assert not path.exists()


def test_two_runs_of_one_job_keep_apart(path, job):
    pytest.importorskip("fcntl")
    manifest = Manifest(path)
    with manifest.held(), pytest.raises(OptionError, match="Another run"), Manifest(path).held():
        pass


def test_shards_have_manifests_of_their_own_and_know_each_others(path, job, tmp_path):
    first, second = (manifest_path(str(tmp_path / "out"), tmp_path, Shard(k, 2)) for k in (1, 2))
    assert first != second
    deliver(first, job)
    for other in (second, path):
        assert Manifest(other).is_finished(job, SETTINGS)


def test_a_picture_that_replaced_itself_is_finished(tmp_path):
    picture = tmp_path / "p" / "a.png"
    picture.parent.mkdir()
    picture.write_bytes(b"input")
    job, path = Job(picture, picture, "a.png"), tmp_path / "p.manifest.jsonl"
    deliver(path, job)
    assert Manifest(path).is_finished(job, SETTINGS)
    assert not Manifest(path).made_from_other(picture)
    picture.write_bytes(b"input")
    assert Manifest(path).is_finished(job, SETTINGS) is None
