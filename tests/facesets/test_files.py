"""Faces from folders, zip files and shards: the same faces, and what is damaged is left out and said."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from gpen_nodes.degradation import DegradationRecipe
from gpen_nodes.errors import ImageError
from gpen_nodes.facesets import FaceStore, open_faces
from gpen_nodes.facesets.files import ZipFaces
from gpen_nodes.training.dataset import TrainingPairs
from gpen_nodes.training.order import Order

COUNT = 12


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (COUNT, 16, 16, 3), dtype=np.uint8)


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def make(kind: str, folder: Path, files: dict[str, bytes]) -> Path:
    """The same files as a folder, a zip file, or two shards as WebDataset writes them."""
    place = folder / kind
    if kind == "folder":
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        return place
    if kind == "zip":
        place = folder / "faces.zip"
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return place
    place.mkdir()
    names = list(files)
    for number, half in enumerate((names[: COUNT // 2], names[COUNT // 2 :])):
        with tarfile.open(place / f"{number:06d}.tar", "w") as archive:
            for name in half:
                for member, data in ((name, files[name]), (f"{Path(name).stem}.json", b"{}")):
                    info = tarfile.TarInfo(member)
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return place


def files() -> dict[str, bytes]:
    return {f"{n:02d}/{n:05d}.png": png(x) for n, x in enumerate(pixels())} | {"notes.txt": b"not looked at"}


@pytest.mark.parametrize("kind", ["folder", "zip", "shards"])
def test_the_same_faces_wherever_they_lie(kind, tmp_path):
    faces = open_faces(make(kind, tmp_path, files()))
    assert len(faces) == COUNT
    assert len(set(map(str, faces.sources))) == COUNT
    for n, expected in enumerate(pixels()):
        assert f"{n:05d}.png" in faces.sources[n]
        assert torch.equal(faces[n], torch.from_numpy(expected) / 255)


def test_other_ways_to_name_them(tmp_path):
    shards = make("shards", tmp_path, files())
    assert len(open_faces(shards / "000000.tar")) == COUNT // 2
    assert len(open_faces(f"{shards}/*.tar")) == COUNT
    FaceStore.write(tmp_path / "store", pixels(), [f"{n}.jpg" for n in range(COUNT)])
    assert isinstance(open_faces(tmp_path / "store"), FaceStore)


@pytest.mark.parametrize("kind", ["folder", "zip", "shards"])
def test_workers_of_two_processes_share_them_without_a_duplicate(kind, tmp_path):
    faces = pickle.loads(pickle.dumps(open_faces(make(kind, tmp_path, files()))))
    faces[0]  # opens the archive before the workers fork
    pairs = TrainingPairs(faces, 16, DegradationRecipe(), seed=0, indices=range(COUNT))
    taken: list[int] = []
    for rank in range(2):
        numbers = Order(range(2), batch=3, accumulate=1, rank=rank, world=2)
        taken += [int(pairs._order_of(n)[0]) for batch in numbers for n in batch]
        loader = DataLoader(pairs, batch_sampler=numbers, num_workers=2, generator=torch.Generator())
        for batch, expected in zip(loader, numbers, strict=True):
            assert torch.equal(batch[1], torch.stack([pairs[n][1] for n in expected]))
    assert sorted(taken) == list(range(COUNT))


def test_a_forked_worker_opens_a_zip_file_anew(tmp_path, monkeypatch):
    """Two processes with one open file would move its place for each other."""
    faces = open_faces(make("zip", tmp_path, files()))
    assert isinstance(faces, ZipFaces)
    own = faces._zip()
    assert faces._zip() is own
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert faces._zip() is not own


@pytest.mark.parametrize("kind", ["folder", "zip", "shards"])
def test_damaged_faces_are_skipped_and_listed_once(kind, tmp_path):
    good = files()
    names = [name for name in good if name.endswith("png")]
    good[names[3]] = good[names[3]][:60]
    good[names[7]] = png(np.zeros((16, 20, 3), np.uint8))
    skipped = tmp_path / "skipped.txt"
    faces = open_faces(make(kind, tmp_path, good))
    pairs = TrainingPairs(faces, 16, DegradationRecipe(), seed=0, indices=range(COUNT), skipped=skipped)
    samples = [pairs[n] for n in range(2 * COUNT)]  # two epochs
    lines = skipped.read_text().splitlines()
    assert len(lines) == 2
    assert any("00003.png" in line and "is damaged or cannot be read" in line for line in lines)
    assert any("00007.png" in line and "is 20×16 px; expected a square" in line for line in lines)
    again = TrainingPairs(faces, 16, DegradationRecipe(), seed=0, indices=range(COUNT))
    assert all(torch.equal(one[1], again[n][1]) for n, one in enumerate(samples))
    none = TrainingPairs(faces, 16, DegradationRecipe(), seed=0, indices=[3, 7], skipped=skipped)
    with pytest.raises(ImageError, match="None of the 2 faces to train on can be read"):
        none[0]


def test_what_holds_no_faces_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"No aligned faces in .*empty: found neither faces\.npy nor tar"):
        open_faces(tmp_path / "empty")
    with pytest.raises(ImageError, match=r"No aligned faces at .*gone"):
        open_faces(tmp_path / "gone")
    (tmp_path / "bad.zip").write_bytes(b"PK no")
    with pytest.raises(ImageError, match="is no zip file or a damaged one"):
        open_faces(tmp_path / "bad.zip")
    (tmp_path / "bad.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(ImageError, match="is no tar file, a damaged or a compressed one"):
        open_faces(tmp_path / "bad.tar")
