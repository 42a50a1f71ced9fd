"""What is written is what is read, and what a store refuses to be."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from gpen_nodes.errors import ImageError
from gpen_nodes.facesets import FaceStore


def test_store_gives_what_was_written(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    FaceStore.write(tmp_path / "new", pixels, ["a.jpg", "a.jpg", "b/ä.jpg"])
    store = FaceStore(tmp_path / "new")
    assert len(store) == 3
    assert store.sources == ["a.jpg", "a.jpg", "b/ä.jpg"]
    assert torch.equal(store[1], torch.from_numpy(pixels[1]) / 255)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["faces.json", "faces.npy"]
    sent = pickle.dumps(store)  # to a worker that is not forked
    assert len(sent) < pixels.nbytes
    assert torch.equal(pickle.loads(sent)[1], store[1])


def test_what_is_known_of_a_face(tmp_path):
    pixels = np.zeros((3, 8, 8, 3), np.uint8)
    FaceStore.write(tmp_path, pixels, ["1_a.jpg", "1_b.jpg", "2.jpg"], [8.5, 20, 9], [0, 0, 1])
    store = FaceStore(tmp_path)
    assert store.true_sizes.tolist() == [8.5, 20, 9]
    assert store.persons[0] == store.persons[1] != store.persons[2]
    with pytest.raises(ValueError, match="zip"):
        FaceStore.write(tmp_path, pixels, ["a", "b", "c"], [1.0])
    assert FaceStore(tmp_path).sources == ["1_a.jpg", "1_b.jpg", "2.jpg"]


def test_an_older_store_tells_photos_alone(tmp_path):
    FaceStore.write(tmp_path, np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"])
    (tmp_path / "faces.json").write_text(json.dumps(["001_x.jpg", "001_y.jpg"]))
    store = FaceStore(tmp_path)
    assert store.sources == ["001_x.jpg", "001_y.jpg"]
    assert store.persons == ["001", "001"]
    assert np.isnan(store.true_sizes).all()


def test_a_write_that_fails_leaves_the_old_store(tmp_path, monkeypatch):
    FaceStore.write(tmp_path, np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"])

    def full(self, data, **_):
        self.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        FaceStore.write(tmp_path, np.ones((1, 8, 8, 3), np.uint8), ["c"])
    assert FaceStore(tmp_path).sources == ["a", "b"]
    assert FaceStore(tmp_path)[0].max() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.json", "faces.npy"]


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"No aligned faces in .* gpen-nodes prepare"):
        FaceStore(tmp_path)
    FaceStore.write(tmp_path, np.zeros((2, 8, 8, 3), np.uint8), ["a", "b"])
    (tmp_path / "faces.json").write_text(json.dumps(["a"]))
    with pytest.raises(ImageError, match="2 faces and 1 sources"):
        FaceStore(tmp_path)
    (tmp_path / "faces.json").write_text("2")
    with pytest.raises(ImageError, match="cannot be read"):
        FaceStore(tmp_path)
    (tmp_path / "faces.json").unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        FaceStore(tmp_path)
    FaceStore.write(tmp_path, np.zeros((2, 8, 9, 3), np.uint8), ["a", "b"])
    with pytest.raises(ImageError, match=r"shape \(2, 8, 9, 3\)"):
        FaceStore(tmp_path)
    for damaged in (b"\x93NUMPY", b""):
        (tmp_path / "faces.npy").write_bytes(damaged)
        with pytest.raises(ImageError, match="cannot be read"):
            FaceStore(tmp_path)
