from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gpen_nodes import DetectedFace, align_face, detect_faces, draw_faces, face_likeness, select_faces
from gpen_nodes.errors import CheckpointError, FaceError, OptionError


def face(x: float, y: float, size: float, image_index: int = 0, score: float = 1) -> DetectedFace:
    return DetectedFace((x, y, x + size, y + size), ((0, 0),) * 5, score, image_index, (100, 200))


FACES = (face(10, 50, 20), face(150, 10, 30, score=0.9), face(80, 60, 10, score=0.95), face(0, 0, 50, 1))


def chosen(faces=FACES, **options) -> list[int]:
    return [FACES.index(report.face) for report in select_faces(faces, **options) if report.selected]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("size", [1, 0, 2, 3]),
        ("score", [0, 2, 1, 3]),
        ("left_to_right", [0, 2, 1, 3]),
        ("top_to_bottom", [1, 0, 2, 3]),
        ("nearest", [2, 1, 0, 3]),
    ],
)
def test_orders_hold_within_each_image(order: str | None, expected: list[int]) -> None:
    assert chosen(order=order) == expected
    if order is not None:
        assert chosen(FACES[::-1], order=order) == expected


def test_nearest_takes_a_point_in_shares_of_the_sides() -> None:
    assert chosen(order="nearest", point=(0.1, 0.6), max_faces=1) == [0, 3]
    assert chosen(order="nearest", point=(0.8, 0.2), max_faces=1) == [1, 3]


def test_sizes_numbers_and_counts() -> None:
    assert chosen(min_face=15, max_face=30) == [0, 1]
    assert chosen(indices={0, 2}) == [0, 2, 3]
    assert chosen(order="size", indices={1}, min_face=15) == [0]
    assert chosen(indices={1, 2}, max_faces=1) == [1]
    whys = [report.why for report in select_faces(FACES, max_face=20, indices={1})]
    assert whys == ["number 0 was not asked for", "larger than max_face: 30 > 20 px", "", whys[3]]


def test_a_mask_takes_faces_by_their_centres() -> None:
    mask = torch.zeros(1, 100, 200)
    mask[:, :, :100] = 1
    assert chosen(mask=mask) == [0, 2, 3]
    assert chosen(mask=torch.cat([1 - mask, mask])) == [1, 3]
    outside = replace(FACES[0], box=(190, 90, 220, 120))
    assert select_faces([outside], mask=1 - mask)[0].selected


def test_likeness_orders_and_excludes() -> None:
    likeness = [0.1, 0.5, 0.8, 0.2]
    assert chosen(order="most_alike", likeness=likeness) == [2, 1, 0, 3]
    assert chosen(order="size", likeness=likeness, min_likeness=0.3) == [1, 2]
    with pytest.raises(OptionError, match="reference"):
        select_faces(FACES, order="most_alike")
    with pytest.raises(OptionError, match="nearest"):
        select_faces(FACES, order="age")


def test_a_likeness_needs_a_reference() -> None:
    with pytest.raises(OptionError, match=r"min_likeness .*reference"):
        select_faces(FACES, min_likeness=0.5)


def test_numbers_are_ranges_as_users_write_them() -> None:
    assert chosen(indices="1") == [1]
    assert chosen(indices="0, 2-4") == [0, 2, 3]
    assert chosen(indices="1-") == [1, 2]
    assert chosen(indices="0-999999999") == [0, 1, 2, 3]
    assert chosen(indices=" ") == [0, 1, 2, 3]
    assert chosen(indices=range(1, 10**15)) == [1, 2]


@pytest.mark.parametrize("wrong", ["3-1", "one", "-1", "1-2-3", "9" * 5000, "1.5", "٣", ["0"], 3, b"0"])
def test_other_numbers_are_refused(wrong) -> None:
    with pytest.raises(OptionError, match=r"indices is .*expected numbers from 0 on"):
        select_faces(FACES, indices=wrong)


def test_a_choice_answers_to_the_old_name() -> None:
    with pytest.warns(DeprecationWarning, match="selected"):
        assert select_faces(FACES)[0].restored


def test_reports_read_as_lines() -> None:
    reports = select_faces(FACES, max_faces=1)
    assert str(reports[0]) == "face of 20 px at (20, 60), score 1.00: selected"
    assert str(reports[1]).endswith("left out, beyond the first 1")


def test_likeness_knows_a_person_again(astronaut: Tensor, shared_data: Path) -> None:
    weights = shared_data / "detectors" / "MobileFaceNet.onnx"
    turned = astronaut.flip(1)
    (found,) = detect_faces(turned)
    aligned = [align_face(turned, found, 256), align_face(turned, found, 512, "ffhq")]
    other = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0))
    same = face_likeness(aligned, astronaut, weights)
    assert min(same) > 0.6
    assert abs(same[0] - same[1]) < 0.05
    assert face_likeness([replace(aligned[0], crop=other)], astronaut, weights)[0] < 0.3
    assert face_likeness([], astronaut, weights) == ()
    with pytest.raises(FaceError, match="reference"):
        face_likeness(aligned, torch.zeros(64, 64, 3), weights)
    with pytest.raises(FaceError, match="align_face"):
        face_likeness([found], astronaut, weights)
    with pytest.raises(CheckpointError):
        face_likeness(aligned, astronaut, shared_data / "none.onnx")


def test_drawing_marks_the_faces_and_leaves_the_picture(astronaut: Tensor) -> None:
    found = detect_faces(astronaut)
    before = astronaut.clone()
    drawn = draw_faces(torch.stack([astronaut, astronaut]), found)
    assert torch.equal(astronaut, before)
    assert torch.equal(drawn[1], astronaut)
    x, y = (round(v) for v in found[0].landmarks[2])
    assert drawn[0, y, x].tolist() == pytest.approx([1, 0.2, 0.2])
    x0, y0, _, y1 = (round(v) for v in found[0].box)
    assert drawn[0, (y0 + y1) // 2, x0].tolist() == pytest.approx([0.2, 1, 0.302], abs=1e-3)
    assert draw_faces(astronaut[None, :, :, :1], found).shape == (1, 512, 512, 3)
    assert draw_faces(torch.zeros(0, 64, 64, 3), ()).shape == (0, 64, 64, 3)
