"""Measures of a real face, and what each can and cannot be bought with."""

from __future__ import annotations

import math

import pytest
import torch

from gpen_nodes import align_face, detect_faces
from gpen_nodes.backbones import LAYERS
from gpen_nodes.evaluation.figures import feature_figure
from gpen_nodes.evaluation.measures import MEASURES, gather_measures, landmark_distance
from gpen_nodes.faces.regions import region_windows


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


def take(name, picture, truth):
    (measure,) = (m for m in gather_measures().each if m.name == name)
    return measure.of(picture, truth)


@pytest.mark.parametrize("name", ["sharpness", "luma energy", "colour energy"])
def test_energies_are_shares_of_the_truths(face, name):
    assert take(name, face, face) == pytest.approx(1)
    assert take(name, face * 0.5, face) == pytest.approx(0.25, rel=1e-4)


def blurred(face):
    return torch.nn.functional.avg_pool2d(face, 5, stride=1, padding=2, count_include_pad=False)


def test_false_colour_buys_sharpness_but_shows_in_colour_energy(face):
    """Noise in red and blue that leaves Y alone."""
    noise = 0.1 * torch.randn(face[:, :1].shape, generator=torch.Generator().manual_seed(0))
    bought = blurred(face) + torch.cat((noise, noise * -(0.299 + 0.114) / 0.587, noise), dim=1)
    assert take("sharpness", bought, face) > 1
    assert take("colour energy", bought, face) > 10
    assert take("luma energy", bought, face) == pytest.approx(
        take("luma energy", blurred(face), face), rel=1e-3
    )


def test_noise_buys_luma_energy_but_no_true_detail(face):
    noise = 0.05 * torch.randn(face[:, :1].shape, generator=torch.Generator().manual_seed(0))
    soft, bought = blurred(face), blurred(face) + noise
    assert take("luma energy", soft, face) < 0.6 < 1 < take("luma energy", bought, face)
    assert take("true detail", bought, face) < 0 < take("true detail", soft, face) < 1
    assert take("true detail", face, face) == 1
    assert take("true detail", torch.full_like(face, 0.5), face) == pytest.approx(0)


def test_a_gray_truth_has_no_colour_energy(face):
    gray = face.mean(dim=1, keepdim=True).expand_as(face)
    assert math.isnan(take("colour energy", face, gray))
    assert take("luma energy", gray, gray) == pytest.approx(1)


def test_features_by_their_formula(face):
    """Two maps: half of the picture, and the picture plus one."""

    def network(image):
        seen.append(image)
        return [image / 2] * (len(LAYERS) - 1) + [image + 3]

    seen = []
    other, truth = face, (face * 0.5 + 0.2)
    a, t = other * 2 - 1, truth * 2 - 1
    difference = (a - t).abs().mean()
    expected = (3 * difference / t.abs().mean() + difference / (t + 3).mean()) / 4
    features = feature_figure(network)
    assert features(other, truth) == pytest.approx(expected.item(), rel=1e-4)
    features(truth, truth)
    assert len(seen) == 3  # the truth's maps are computed once


def test_eyes_are_measured_in_their_windows_alone(face):
    eyes = feature_figure(lambda image: [image + 2] * len(LAYERS), "gpen")
    windows = [
        (slice(None), slice(None), slice(top, top + height), slice(left, left + width))
        for top, left, height, width in region_windows("gpen", 256)
    ]
    mouth, eye = face.clone(), face.clone()
    mouth[windows[2]] = 0
    eye[windows[1]] = 0
    assert eyes(mouth, face) == 0
    assert eyes(eye, face) > 0.1
    assert math.isnan(eyes(face[..., :200], face[..., :200]))


def test_the_network_of_features_ranks_blur(face, shared_data):
    measures = gather_measures(weights=[shared_data / "perceptual"])
    for name in ("features", "eyes"):
        (measure,) = (m for m in measures.each if m.name == name)
        assert measure.of(face, face) == 0
        assert 0.05 < measure.of(blurred(face), face) < measure.of(blurred(blurred(face)), face) < 1


def test_names_in_the_table_differ():
    names = [entry.name for entry in MEASURES]
    assert len(set(names)) == len(names)
