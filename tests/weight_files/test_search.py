"""Where files of weights are found, and what is said where they are not."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import pytest

from gpen_nodes import CheckpointError, MissingWeightsError
from gpen_nodes.weight_files import CATALOGUE, find_checkpoints, find_weights, is_checkpoint_name, model_path
from gpen_nodes.weight_files.digest import record_sha256, records, verify

NAME = "MobileFaceNet.onnx"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """A file of the catalogue that would be right if it held "x"; gives the cache's folder."""
    digest = hashlib.sha256(b"x").hexdigest()
    monkeypatch.setitem(CATALOGUE, NAME, dataclasses.replace(CATALOGUE[NAME], sha256=(digest,)))
    cache.mkdir(parents=True)
    return cache


def test_the_users_folder_comes_before_the_cache(known: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    with pytest.raises(MissingWeightsError, match=r"Found no MobileFaceNet\.onnx in .*mine or .*checkpoints"):
        find_weights(NAME, [mine])
    (known / NAME).write_bytes(b"x")
    assert find_weights(NAME, [mine]) == known / NAME
    mine.mkdir()
    (mine / NAME).write_bytes(b"x")
    assert find_weights(NAME, [mine]) == mine / NAME


def test_another_file_of_that_name_is_refused(known: Path) -> None:
    (known / NAME).write_bytes(b"another")
    with pytest.raises(CheckpointError, match=r"has SHA-256 .* expected .*get it again from https://"):
        find_weights(NAME)


def test_what_is_missing_names_the_command_the_address_and_the_licence(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError) as caught:
        find_weights(NAME, [tmp_path])
    for part in (f'`gpen-nodes models get {NAME} --to "{tmp_path}"`', "https://", "Apache-2.0", "4 MB"):
        assert part in str(caught.value)
    with pytest.raises(MissingWeightsError, match=r"Found no mine\.pth in .*`gpen-nodes models` lists"):
        find_weights("mine.pth", [tmp_path])


def test_no_name_leads_out_of_the_folders(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.pth").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(MissingWeightsError):
        find_weights("../outside.pth", [tmp_path / "folder"])


def test_what_was_recorded_is_verified(cache: Path, tmp_path: Path) -> None:
    file = CATALOGUE["GPEN-BFR-512.pth"]
    path = tmp_path / file.name
    path.write_bytes(b"x")
    assert verify(file, path) is None  # nothing is known of it
    record_sha256(file, hashlib.sha256(b"x").hexdigest())
    record_sha256(CATALOGUE["GPEN-BFR-256.pth"], "0" * 64)
    assert find_weights(file.name, [tmp_path]) == path
    path.write_bytes(b"another")
    with pytest.raises(CheckpointError, match="as at its first download"):
        find_weights(file.name, [tmp_path])
    assert records().read_text().splitlines()[1] == f"{'0' * 64}  GPEN-BFR-256.pth"


def test_a_model_by_its_name(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_path("mine.pth") == Path("mine.pth")  # whose reader says that it isn't there
    with pytest.raises(MissingWeightsError, match=r"models get GPEN-BFR-512\.pth`"):
        model_path("GPEN-BFR-512.pth")
    cache.mkdir(parents=True)
    (cache / "GPEN-BFR-512.pth").touch()
    assert model_path("GPEN-BFR-512.pth") == cache / "GPEN-BFR-512.pth"
    (tmp_path / "GPEN-BFR-512.pth").touch()
    assert model_path("GPEN-BFR-512.pth") == Path("GPEN-BFR-512.pth")


def test_checkpoints_end_in_small_letters_or_large_ones() -> None:
    assert all(map(is_checkpoint_name, ("a.pth", "B.PTH", "c.Pt", "sub/d.SafeTensors", "GPEN-BFR-512.onnx")))
    assert not any(map(is_checkpoint_name, ("pth", ".pth", "a.pth.part", "a.txt", "a.pickle")))


def test_checkpoints_of_folders(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (
        first / "b.PTH",
        first / "sub" / "a.safetensors",
        second / "b.PTH",
        second / "c.pt",
        second / "d.onnx",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (first / "notes.txt").touch()
    (first / "folder.pth").mkdir()
    found = find_checkpoints([first, tmp_path / "nowhere", second])
    assert list(found) == ["b.PTH", "sub/a.safetensors", "c.pt", "d.onnx"]
    assert found["b.PTH"] == first / "b.PTH"


@pytest.mark.skipif(os.name == "nt", reason="links take rights there")
def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    elsewhere, models = tmp_path / "elsewhere", tmp_path / "models"
    for folder in (elsewhere, models):
        folder.mkdir()
    (elsewhere / "a.pth").touch()
    (models / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(models)
    os.mkfifo(models / "pipe.pth")
    assert list(find_checkpoints([models])) == ["linked/a.pth"]
