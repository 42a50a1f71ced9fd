"""What landmarks say: whether they are a face at all, and whether it is seen from the side."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpen_nodes import RestoreOptions, align_faces, find_faces, judge_faces
from gpen_nodes.faces import finding as finding_module
from gpen_nodes.faces import template_points
from gpen_nodes.faces.geometry.boxes import Detections
from gpen_nodes.faces.geometry.pose import contradicts_box, misfit, turned_aside

FACE = torch.tensor(template_points("gpen", 100))


def turned(points: torch.Tensor, degrees: float) -> torch.Tensor:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ torch.tensor([[c, s], [-s, c]])


@given(st.floats(-180, 180), st.floats(0.1, 20), st.floats(-500, 500))
def test_a_face_fits_wherever_it_lies(degrees, scale, shift):
    points = turned(FACE, degrees) * scale + shift
    assert misfit(points[None]).item() < 0.01
    assert turned_aside(tuple(map(tuple, points.tolist()))) < 0.05


def test_what_is_no_face_does_not_fit():
    mirrored = FACE[[3, 4, 2, 0, 1]]  # the mouth above the eyes, left still left
    line = torch.stack([torch.arange(5.0), torch.arange(5.0)], 1)
    assert (misfit(torch.stack([mirrored, line])) > finding_module._UNLIKE).all()
    assert misfit(FACE[None][:0]).shape == (0,)


def test_landmarks_outside_of_the_box_or_in_a_corner_contradict_it():
    box = torch.tensor([20.0, 15, 80, 90])
    points = torch.stack([FACE, FACE + 60, FACE * 0.05 + 40])
    assert contradicts_box(points, box.expand(3, 4)).tolist() == [False, True, True]


class Canned:
    """A detector that finds the same things upright, and a face in the image that was turned once."""

    def __init__(self, upright: Detections, turned: Detections) -> None:
        self.module, self.working_bytes = torch.nn.Identity(), 0
        self.found, self.calls = [upright, turned], []

    def __call__(self, image, min_score, min_face, check):
        self.calls.append((tuple(image.shape[-2:]), min_score))
        none = self.found[0].take(torch.zeros(len(self.found[0].boxes), dtype=torch.bool))
        return self.found[len(self.calls) - 1] if len(self.calls) < 3 else none


def detections(*points: torch.Tensor, score: float = 0.99) -> Detections:
    boxes = [torch.cat([p.amin(0) - 15, p.amax(0) + 15]) for p in points]
    scores = torch.full((len(points),), score)
    return Detections(torch.stack(boxes), scores, torch.stack(points))


@pytest.mark.parametrize("quarter_turns", [False, True])
def test_turns_are_tried_where_needed_alone(monkeypatch, quarter_turns):
    nonsense = FACE[[2, 0, 4, 1, 3]]
    for upright, needed in ((detections(FACE), False), (detections(FACE, nonsense + 90), True)):
        canned = Canned(upright, detections(FACE))
        monkeypatch.setattr(finding_module, "load_detector", lambda *_, canned=canned: canned)
        faces = find_faces(torch.zeros(200, 300, 3), quarter_turns=quarter_turns)
        assert len(canned.calls) == (4 if needed or quarter_turns else 1)
        assert len(faces) == len(upright.boxes) + (len(canned.calls) == 4)
        if len(canned.calls) == 4:
            assert canned.calls[1] == ((300, 200), 0.9 if quarter_turns else finding_module._TURNED_SCORE)


def test_a_profile_gets_less_strength(astronaut):
    (face,) = align_faces(astronaut, find_faces(astronaut), 256)
    restored = dataclasses.replace(face, crop=1 - face.crop)
    nose = face.landmarks[2]
    aside = (*face.landmarks[:2], (nose[0] + 60, nose[1]), *face.landmarks[3:])
    profile, restored_profile = (dataclasses.replace(one, landmarks=aside) for one in (face, restored))
    options = RestoreOptions().changed(colour="model", keep_detail=0, keep_front=False)
    (front,) = judge_faces(astronaut, [face], [restored], options)
    (side,) = judge_faces(astronaut, [profile], [restored_profile], options)
    off = options.changed(guard_identity=False)
    (asked,) = judge_faces(astronaut, [profile], [restored_profile], off)
    assert "from the side" in side.said
    assert "from the side" not in front.said + asked.said
    assert torch.equal(asked.face.crop, restored.crop)
    assert torch.allclose(side.face.crop, torch.lerp(face.crop, front.face.crop, 0.5), atol=0.02)
