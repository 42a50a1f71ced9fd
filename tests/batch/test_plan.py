"""What a job will write, and what it refuses to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpen_nodes import ImageError, OptionError
from gpen_nodes.batch import Shard, check_plan, check_room, find_pictures, plan_jobs


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.png", "d/a.jpg", "d/e/c.gif", "notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x" * 10)


def jobs(*inputs: str, output: str | None = "out", **more):
    return plan_jobs(find_pictures(inputs).found, output, suffix="_restored", **more)


@pytest.mark.parametrize("ending", ["gif", "avif", "heic", "jp2", "tga", "GIF", "psd"])
def test_an_output_that_cannot_be_written_makes_no_folder(ending):
    with pytest.raises(OptionError, match="cannot be written"):
        jobs("a.jpg", output=f"out.{ending}")
    Path(f"out.{ending}").mkdir()
    assert jobs("a.jpg", output=f"out.{ending}")[0].output == Path(f"out.{ending}/a.jpg")


@pytest.mark.parametrize("ending", ["jfif", "jpe"])
def test_rare_names_of_jpeg_are_files(ending):
    assert jobs("a.jpg", output=f"out.{ending}")[0].output == Path(f"out.{ending}")


def test_a_folder_may_have_a_dot():
    assert jobs("a.jpg", output="results.v2")[0].output == Path("results.v2/a.jpg")


def test_empty_texts_are_refused():
    with pytest.raises(OptionError, match="--input is empty"):
        find_pictures([""])
    with pytest.raises(OptionError, match="--output is empty"):
        jobs("a.jpg", output="")


def test_a_picture_named_twice_is_done_once():
    assert len(jobs("a.jpg", "a.jpg", "*.jpg")) == 1


def test_what_lies_in_the_output_is_left_out_and_counted(tmp_path):
    pictures = find_pictures(["."], [tmp_path / "d"])
    assert [str(relative) for _, relative in pictures.found] == ["a.jpg", "b.png"]
    assert any("2 results" in sentence and "c.gif" in sentence for sentence in pictures.left_out)
    assert any("notes.txt" in sentence for sentence in pictures.left_out)
    assert len(find_pictures(["d"], [tmp_path / "d"]).found) == 2  # named by the user


def test_what_a_kill_left_behind_is_no_input():
    Path("d/.gpen-nodes-0123").mkdir()
    Path("d/.gpen-nodes-0123/x.jpg").touch()
    assert len(find_pictures(["d"]).found) == 2


def test_a_folder_that_cannot_be_read_is_named(monkeypatch):
    real = os.scandir

    def scandir(path):
        if Path(path).name == "e":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    pictures = find_pictures(["d"])
    assert len(pictures.found) == 1
    assert any("1 folder" in sentence and "e" in sentence for sentence in pictures.left_out)


def test_over_long_inputs_are_no_crash():
    (found,) = find_pictures(["x" * 5000 + ".jpg"]).found
    assert found[0].suffix == ".jpg"


def test_over_long_outputs_are_refused_before_work():
    (job,) = plan_jobs([(Path("y" * 251 + ".png"), Path("y" * 251 + ".png"))], None, suffix="_restored")
    with pytest.raises(ImageError, match="264 bytes"):
        job.check_names()


class TestChecks:
    def test_a_new_folder_is_fine(self):
        check_plan(jobs("."), report="new/report.json")

    @pytest.mark.parametrize("report", ["a.jpg", "d/../a.jpg", "out/a.jpg", "model.pth", "d"])
    def test_a_report_replaces_no_file_of_the_job(self, report):
        with pytest.raises(OptionError, match="--report"):
            check_plan(jobs("a.jpg"), report=report, overwrite=True, kept=[Path("model.pth")])

    def test_a_report_may_replace_another(self):
        check_plan(jobs("a.jpg"), report="notes.txt")

    def test_a_link_to_an_input_is_that_input(self):
        Path("link.json").symlink_to("a.jpg")
        with pytest.raises(OptionError, match="--report"):
            check_plan(jobs("a.jpg"), report="link.json")

    @pytest.mark.parametrize("there", ["out/a.jpg", "out/a_compare.jpg", "faces/a_face00_aligned.png"])
    def test_files_of_other_origin_stay(self, there):
        planned = jobs("a.jpg", compare=True, faces="faces")
        Path(there).parent.mkdir(exist_ok=True)
        Path(there).touch()
        with pytest.raises(OptionError, match=r"is there already"):
            check_plan(planned)
        check_plan(planned, overwrite=True)
        check_plan(planned, is_result=lambda path: True)

    def test_an_output_that_the_user_named_is_replaced(self):
        Path("x.jpg").touch()
        check_plan(jobs("a.jpg", output="x.jpg"))
        with pytest.raises(OptionError, match=r"x\.jpg is an input"):
            check_plan(jobs("x.jpg", output="x.jpg"))

    def test_faces_of_two_inputs_of_one_name_collide(self):
        with pytest.raises(OptionError, match="would both write"):
            check_plan(jobs("a.jpg", "d/a.jpg", output=None, faces="faces"))
        check_plan(jobs(".", faces="faces"))  # in folders of their own

    def test_a_comparison_that_is_another_output_collides(self):
        Path("a_compare.jpg").touch()
        with pytest.raises(OptionError, match="would both write"):
            check_plan(jobs("a.jpg", "a_compare.jpg", compare=True))

    def test_a_comparison_never_replaces_an_input(self):
        Path("a_restored_compare.jpg").touch()
        with pytest.raises(OptionError, match="is an input"):
            check_plan(jobs("a.jpg", "a_restored_compare.jpg", output=None, compare=True), overwrite=True)

    def test_folders_must_be_writable(self, monkeypatch):
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(OptionError, match="cannot be written to"):
            check_plan(jobs("a.jpg"))

    def test_a_file_is_no_folder(self):
        with pytest.raises(OptionError, match=r"notes\.txt is a file"):
            check_plan(jobs("a.jpg", output="notes.txt/out"))

    def test_a_folder_is_no_file(self):
        Path("out/a.jpg").mkdir(parents=True)
        with pytest.raises(OptionError, match="is a folder"):
            check_plan(jobs("a.jpg"), overwrite=True)

    def test_many_problems_are_counted(self):
        Path("p").mkdir()
        for k in range(9):
            Path(f"p/{k}.jpg").touch()
        with pytest.raises(OptionError, match="and 4 more"):
            check_plan(jobs("p", output="p"))

    def test_a_full_disk_is_told_first(self, monkeypatch):
        import shutil

        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 91, 9))
        with pytest.raises(OptionError, match="free"):
            check_room(jobs("a.jpg"))


@given(st.lists(st.text(), unique=True), st.integers(1, 7))
def test_shards_part_a_job(names, count):
    found = [name for k in range(count) for name in names if Shard(k + 1, count).has(name)]
    assert sorted(found) == sorted(names)


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2"])
def test_shards_that_make_no_sense(text):
    with pytest.raises(OptionError, match="--shard"):
        Shard.parse(text)
