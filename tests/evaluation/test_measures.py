"""Landmarks and identity, on a real face."""

from __future__ import annotations

import math

import pytest
import torch

from gpen_nodes import align_face, detect_faces
from gpen_nodes.evaluation.measures import gather_measures, landmark_distance


@pytest.fixture(scope="module")
def face(astronaut):
    """[1, 3, 256, 256], aligned to GPEN's template."""
    (found,) = detect_faces(astronaut, max_faces=1)
    return align_face(astronaut, found, 256).crop.permute(2, 0, 1)[None]


def test_landmarks_of_a_face_that_moved(face):
    distance = landmark_distance()
    assert distance(face, face) == 0
    eyes = (309.430 - 202.041) / 2  # of GPEN's template at 256
    moved = face.roll((8, 6), dims=(2, 3))  # 10 px
    assert distance(moved, face) == pytest.approx(100 * 10 / eyes, rel=0.25)


def test_no_face_no_landmarks(face):
    distance, nobody = landmark_distance(), torch.full_like(face, 0.5)
    assert math.isnan(distance(nobody, face))
    assert math.isnan(distance(face, nobody))
    assert distance(face, face) == 0  # the truth before is forgotten


def test_identity_of_one_person_and_of_a_blurred_one(face, shared_data):
    measures = gather_measures(embedder=shared_data / "detectors" / "MobileFaceNet.onnx")
    (identity,) = (measure for measure in measures.each if measure.name == "identity")
    assert identity.of(face, face) == pytest.approx(1, abs=1e-5)
    blurred = torch.nn.functional.interpolate(face, scale_factor=1 / 16, mode="area")
    blurred = torch.nn.functional.interpolate(blurred, size=(256, 256), mode="bilinear")
    assert 0 < identity.of(blurred, face) < 0.9
    assert math.isnan(identity.of(face[..., :200], face[..., :200]))  # no aligned crop


def test_sharpness_is_a_share_of_the_truths(face):
    (sharpness,) = (m for m in gather_measures().each if m.name == "sharpness")
    assert sharpness.of(face, face) == pytest.approx(1)
    assert sharpness.of(face * 0.5, face) == pytest.approx(0.25, rel=1e-4)
