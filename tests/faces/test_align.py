from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gpen_nodes.errors import FaceError, ImageError, OptionError
from gpen_nodes.faces.alignment import align_face
from gpen_nodes.faces.face import DetectedFace
from gpen_nodes.faces.finding import detect_faces
from gpen_nodes.faces.geometry.templates import TEMPLATES, Points, similarity, template_points


def face_at(points: Points, index: int = 0, size: tuple[int, int] = (512, 512)) -> DetectedFace:
    return DetectedFace((0, 0, 1, 1), points, 1.0, index, size)


def moved(points: Points, a: complex, b: complex) -> Points:
    mapped = [a * complex(*p) + b for p in points]
    return tuple((z.real, z.imag) for z in mapped)


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Equations 40 to 42 of the paper, by singular values."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    u, d, vt = np.linalg.svd((target - mean_t).T @ (source - mean_s) / len(source))
    sign = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ sign @ vt
    scale = np.trace(np.diag(d) @ sign) / source.var(0).sum()
    return np.c_[scale * rotation, mean_t - scale * rotation @ mean_s]


def test_templates() -> None:
    """GPEN's five points at 512, as its repository computes them."""
    expected = [
        (202.041, 242.884),
        (309.430, 242.290),
        (256.077, 303.959),
        (211.960, 366.828),
        (300.891, 366.336),
    ]
    assert np.allclose(TEMPLATES["gpen"], expected, atol=5e-4)
    assert np.allclose(template_points("gpen", 256), np.array(expected) / 2, atol=5e-4)
    eyes = [math.dist(TEMPLATES[name][0], TEMPLATES[name][1]) for name in ("ffhq", "gpen")]
    assert eyes == pytest.approx([125.9, 107.4], abs=0.05)


coordinate = st.floats(-1000, 1000, allow_nan=False)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=5, max_size=5, unique=True))
def test_similarity_is_umeyamas(points: list[tuple[float, float]]) -> None:
    target = template_points("gpen", 512)
    source = np.array(points)
    singular = np.linalg.svd((np.array(target) - np.mean(target, 0)).T @ (source - source.mean(0)))[1]
    if source.var() < 1 or singular[1] < 1e-3 * singular[0]:
        return
    found = similarity(tuple(points), target).numpy()
    # In a tie between a turn and a mirror image the singular values coincide and either sign is as good.
    assert np.allclose(found, umeyama(source, np.array(target)), atol=1e-4)
    assert np.linalg.det(found[:, :2]) > 0


@pytest.mark.parametrize(
    "points", [((1.0, 2.0),) * 5, ((float("nan"), 0.0),) * 5, ((float("inf"), 0.0),) * 5]
)
def test_landmarks_that_fix_nothing_are_refused(points: Points) -> None:
    with pytest.raises(FaceError, match="distinct points"):
        align_face(torch.zeros(8, 8, 3), face_at(points), 64)


def test_two_distinct_landmarks_suffice() -> None:
    points = ((10.0, 10.0), (20.0, 10.0), (15.0, 15.0), (15.0, 15.0), (15.0, 15.0))
    crop = align_face(torch.rand(32, 32, 3), face_at(points), 64).crop
    assert crop.isfinite().all()


@pytest.mark.parametrize(("size", "template"), [(512, "gpen"), (256, "ffhq"), (300, "gpen")])
def test_agrees_with_opencv_where_nothing_shrinks(astronaut: Tensor, size: int, template: str) -> None:
    (face,) = detect_faces(astronaut)
    aligned = align_face(astronaut, face, size, template)
    assert aligned.crop_size == size
    expected = cv2.warpAffine(
        astronaut.numpy(),
        aligned.matrix.numpy(),
        (size, size),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    difference = (aligned.crop.numpy() - expected.clip(0, 1)).__abs__()
    assert difference.mean() < 2e-3  # OpenCV rounds positions to 1/32 px
    assert difference.max() < 0.06
    landmarks = torch.tensor(face.landmarks).double() @ aligned.matrix[:, :2].T + aligned.matrix[:, 2]
    assert (landmarks - torch.tensor(template_points(template, size))).norm(dim=1).max() < size / 20


@pytest.mark.parametrize("border", ["replicate", "reflect"])
def test_beyond_the_picture(astronaut: Tensor, border: str) -> None:
    picture = astronaut[90:250, 190:350].contiguous()
    points = moved(template_points("gpen", 128), 1, complex(-80, -90))
    mode = {"replicate": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT}[border]
    crop = align_face(picture, face_at(points), 128, "gpen", border).crop
    expected = cv2.copyMakeBorder(picture.numpy(), 90, 0, 80, 0, mode)[:128, :128]
    assert np.abs(crop.numpy() - expected).max() < 1e-3


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("size", [24, 128])
def test_a_turned_face_comes_out_upright(astronaut: Tensor, turns: int, size: int) -> None:
    (face,) = detect_faces(astronaut)
    upright = align_face(astronaut, face, size).crop
    x, y = torch.tensor(face.landmarks).double().T
    points = torch.stack({1: (y, 511 - x), 2: (511 - x, 511 - y), 3: (511 - y, x)}[turns], dim=1)
    turned = replace(face, landmarks=tuple((p[0], p[1]) for p in points.tolist()))
    crop = align_face(astronaut.rot90(turns, (0, 1)), turned, size).crop
    assert (crop - upright).abs().max() < 0.02


def test_only_the_faces_region_matters(astronaut: Tensor) -> None:
    """The same face in a larger picture, with NaN far from it."""
    (face,) = detect_faces(astronaut)
    large = torch.full((900, 1000, 3), float("nan"))
    large[200:500, 300:812] = astronaut[:300]
    points = tuple((x + 300, y + 200) for x, y in face.landmarks)
    for size in (64, 256):
        there = align_face(large[:, :], replace(face, landmarks=points), size, "ffhq").crop
        here = align_face(astronaut, face, size, "ffhq").crop
        assert there.isfinite().all()
        assert (there - here).abs().max() < 0.01


def test_batches_gray_and_alpha(astronaut: Tensor) -> None:
    (face,) = detect_faces(astronaut)
    crop = align_face(astronaut, face, 64).crop
    batch = torch.stack([torch.zeros_like(astronaut), astronaut])
    second = align_face(batch, replace(face, image_index=1), 64).crop
    assert torch.equal(second, crop)
    with_alpha = align_face(torch.cat([astronaut, torch.rand(512, 512, 1)], dim=-1), face, 64).crop
    assert torch.equal(with_alpha, crop)
    gray = align_face(astronaut[..., :1], face, 64).crop
    assert torch.allclose(gray, crop[..., :1].expand(-1, -1, 3))
    assert gray.is_contiguous()


def test_senseless_options_are_refused() -> None:
    face = face_at(template_points("gpen", 64))
    picture = torch.zeros(64, 64, 3)
    with pytest.raises(OptionError, match=r"template is 'arcface'.*gpen, ffhq"):
        align_face(picture, face, 64, "arcface")
    with pytest.raises(OptionError, match="border"):
        align_face(picture, face, 64, border="wrap")
    with pytest.raises(OptionError, match="size of 0"):
        align_face(picture, face, 0)
    with pytest.raises(ImageError):
        align_face(picture.byte(), face, 64)
    with pytest.raises(FaceError, match="batch"):
        align_face(picture, replace(face, image_index=1), 64)
