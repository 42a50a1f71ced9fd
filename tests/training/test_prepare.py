"""A folder of photos becomes a folder of faces."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from gpen_nodes import detect_faces
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
    with pytest.raises(FaceError, match=r"No face of 300 px or more in the 3 photos .* no face of 300 px"):
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


def saved(folder: Path, **pictures) -> Path:
    folder.mkdir()
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.jpg", quality=85)
    return folder


def shrunk(picture: np.ndarray, share: float) -> np.ndarray:
    height, width = (round(side * share) for side in picture.shape[:2])
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def test_true_sizes_are_written_and_small_faces_kept_only_when_asked(tmp_path, astronaut):
    picture = to_uint8(astronaut)
    photos = saved(tmp_path / "photos", half=shrunk(picture, 0.5), whole=picture)
    keep_all: dict[str, Any] = {"min_face": 30, "min_true_size": 0, "same_picture": 2}
    assert prepare_faces(photos, tmp_path / "all", size=128, **keep_all) == (2, [])
    half, whole = FaceStore(tmp_path / "all").true_sizes
    # The template has the eyes (309.43 - 202.04) / 512 of the side apart.
    (left, right, *_) = detect_faces(astronaut, max_faces=1)[0].landmarks
    assert whole == pytest.approx(math.dist(left, right) * 512 / (309.43 - 202.04), rel=0.1)
    assert half == pytest.approx(whole / 2, rel=0.05)
    size = round(whole * 0.75)
    count, lines = prepare_faces(photos, tmp_path / "large", size=size, min_face=30)
    assert (count, len(lines)) == (1, 1)
    assert "half.jpg: a face of" in lines[0]
    assert f"fewer than {size}" in lines[0]
    assert FaceStore(tmp_path / "large").sources == ["whole.jpg"]


def test_of_one_picture_twice_the_larger_stays(tmp_path, astronaut):
    picture = to_uint8(astronaut)
    photos = saved(tmp_path / "photos", a_half=shrunk(picture, 0.6), b_whole=picture, c=picture[:, ::-1])
    count, lines = prepare_faces(photos, tmp_path / "faces", size=64, min_face=30)
    assert FaceStore(tmp_path / "faces").sources == ["b_whole.jpg", "c.jpg"]
    assert (count, lines) == (2, ["Left out: a_half.jpg: the same picture as b_whole.jpg."])


def test_blurred_faces_are_left_out(tmp_path, astronaut):
    picture = to_uint8(astronaut)
    soft = np.array(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(3)))
    photos = saved(tmp_path / "photos", sharp=picture, soft=soft)
    count, lines = prepare_faces(photos, tmp_path / "faces", size=128, same_picture=2)
    assert (count, FaceStore(tmp_path / "faces").sources) == (1, ["sharp.jpg"])
    assert "soft.jpg: a face with blur 0." in lines[0]
    assert prepare_faces(photos, tmp_path / "faces", size=128, same_picture=2, max_blur=1) == (2, [])


def test_persons_by_likeness(tmp_path, shared_data):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, source in {"x": "008_neutral", "y": "009_neutral", "z": "008_smiling"}.items():
        with Image.open(shared_data / "eval" / "london" / f"{source}.jpg") as photo:
            photo.resize((600, 600)).save(photos / f"{name}.png")
    prepare_faces(
        photos, tmp_path / "faces", size=128, embedder=shared_data / "detectors" / "MobileFaceNet.onnx"
    )
    x, y, z = FaceStore(tmp_path / "faces").persons
    assert x == z != y
