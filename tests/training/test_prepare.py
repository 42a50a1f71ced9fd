"""A folder of photos becomes a folder of faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpen_nodes.errors import FaceError, ImageError
from gpen_nodes.facesets import FaceStore
from gpen_nodes.images import to_uint8
from gpen_nodes.training import prepare_faces


@pytest.fixture
def photos(tmp_path, astronaut) -> Path:
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    Image.fromarray(to_uint8(astronaut)).save(folder / "deeper" / "astronaut.png")
    Image.new("RGB", (200, 150), "white").save(folder / "blank.JPG")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_one_face_and_a_line_for_each_photo_without(photos, tmp_path, astronaut):
    count, failed = prepare_faces(photos, tmp_path / "faces", size=64)
    assert count == 1
    assert len(failed) == 2
    assert "blank.JPG: no face of 64 px or more" in failed[0]
    assert "broken.jpg is no picture" in failed[1]
    store = FaceStore(tmp_path / "faces")
    assert store.sources == [str(Path("deeper", "astronaut.png"))]
    assert store[0].shape == (64, 64, 3)
    # Her face is about there; eyes and mouth make it no plain surface.
    face = astronaut[60:220, 150:300].mean(dim=(0, 1))
    assert (store[0].mean(dim=(0, 1)) - face).abs().max() < 0.15
    assert store[0].std() > 0.1


def test_a_photo_without_large_faces_gives_none(photos, tmp_path):
    with pytest.raises(FaceError, match="No face of 300 px or more in the 3 photos"):
        prepare_faces(photos, tmp_path / "faces", size=64, min_face=300)
    assert not (tmp_path / "faces").exists()


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"holds no picture; looked for \.png"):
        prepare_faces(tmp_path, tmp_path / "faces", size=64)


def test_a_photo_with_several_faces_gives_each(tmp_path, astronaut):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = to_uint8(astronaut)
    Image.fromarray(np.concatenate((picture, picture[:, ::-1]), axis=1)).save(folder / "twice.png")
    assert prepare_faces(folder, tmp_path / "faces", size=64) == (2, [])
    assert FaceStore(tmp_path / "faces").sources == ["twice.png"] * 2
