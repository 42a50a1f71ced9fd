"""The whole way on real photos, with restorers whose effect is known."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from gpen_nodes import (
    FaceError,
    ImageError,
    LocalHost,
    MissingWeightsError,
    OptionError,
    RestoreOptions,
    Restorer,
    Verdict,
    align_face,
    align_faces,
    check_aligned,
    detect_faces,
    find_faces,
    judge_faces,
    paste_back,
    pipeline,
    read_checkpoint,
    restore_faces,
    restore_image,
)

CPU = LocalHost("cpu")
MODELS_FACE = {"colour": "model", "keep_detail": 0, "keep_front": False, "guard_identity": False}


class Unchanged:
    """A backend that gives back what it gets."""

    module, weight_bytes, activation_bytes = None, 0, 0

    def place(self, device):
        pass

    def batch_size(self, device):
        return 8

    def run(self, image, check):
        return image


class Darker(Unchanged):
    def run(self, image, check):
        return image - 0.3


@pytest.fixture
def identity(tiny_checkpoint, monkeypatch):
    """A restorer of 256 px that gives back what it gets."""
    restorer = Restorer(read_checkpoint(tiny_checkpoint))
    restorer.config = dataclasses.replace(restorer.config, size=256, input_size=256)
    monkeypatch.setattr(restorer, "backend", Unchanged())
    return restorer


def test_an_identity_restorer_changes_next_to_nothing(astronaut, identity):
    result = restore_image(astronaut, identity, host=CPU)
    assert [report.restored for report in result.reports] == [True]
    assert result.faces[0].crop.shape == (256, 256, 3)
    inside = result.mask[0] > 0.5
    error = (result.image[0] - astronaut)[inside].square().mean()
    assert -10 * torch.log10(error) >= 40
    outside = result.mask[0] == 0
    assert 0 < inside.sum() < outside.sum()
    assert torch.equal(result.image[0][outside], astronaut[outside])


def test_a_picture_without_faces_comes_back_as_it_was(identity):
    blank = torch.full((1, 300, 200, 3), 0.5)
    result = restore_image(blank, identity, host=CPU)
    assert torch.equal(result.image, blank)
    assert result.reports == result.faces == ()
    assert not result.mask.any()


def test_a_batch_keeps_its_order(astronaut, identity):
    blank = torch.full_like(astronaut, 0.5)
    result = restore_image(torch.stack([blank, astronaut, astronaut.flip(1)]), identity, host=CPU)
    assert [f.image_index for f in result.faces] == [1, 2]
    assert torch.equal(result.image[0], blank)


def test_strength_zero_changes_no_bit(astronaut, identity):
    assert torch.equal(restore_image(astronaut, identity, strength=0, host=CPU).image[0], astronaut)


def test_alpha_and_gray_are_kept(astronaut, identity):
    alpha = torch.rand(512, 512, 1)
    result = restore_image(torch.cat((astronaut, alpha), dim=2), identity, host=CPU)
    assert torch.equal(result.image[0, ..., 3:], alpha)
    gray = restore_image(astronaut.mean(dim=2, keepdim=True), identity, host=CPU)
    assert gray.image.shape == (1, 512, 512, 1)
    assert len(gray.faces) == 1


def test_the_text_names_every_face_and_every_image_without_one(astronaut, identity):
    blank = torch.full_like(astronaut, 0.5)
    lines = restore_image(torch.stack([blank, astronaut]), identity, min_face=200, host=CPU).text.splitlines()
    assert lines[0].startswith("image 0: no face found, unchanged (a lower min_score")
    assert lines[1].startswith("image 1, 0: face of 9")
    assert lines[1].endswith("left as it is, smaller than min_face: 97 < 200 px")


def test_an_empty_batch_comes_back_empty(identity):
    result = restore_image(torch.zeros(0, 64, 48, 4), identity, host=CPU)
    assert result.image.shape == (0, 64, 48, 4)
    assert result.mask.shape == (0, 64, 48)
    assert result.text == ""


def test_options_come_by_keyword_or_as_a_value(astronaut, identity):
    options = RestoreOptions().changed(strength=0.5, min_face=20)
    given = restore_image(astronaut, identity, options, host=CPU)
    assert torch.equal(restore_image(astronaut, identity, strength=0.5, host=CPU).image, given.image)
    assert torch.equal(restore_image(astronaut, identity, options, strength=0, host=CPU).image[0], astronaut)
    with pytest.raises(OptionError, match=r"unknown options: sharpness.*softness"):
        restore_image(astronaut, identity, sharpness=1, host=CPU)


def test_a_mask_and_the_pictures_tones_reach_paste_back(astronaut, identity, monkeypatch):
    monkeypatch.setattr(identity, "backend", Darker())
    mask = torch.zeros(512, 512)
    mask[:, :224] = 1  # through the middle of the face
    choices: tuple[dict[str, Any], ...] = ({}, {"mask": mask}, {"match_colour": True})
    whole, left, toned = (
        restore_image(astronaut, identity, host=CPU, **MODELS_FACE, **more) for more in choices
    )
    assert torch.equal(left.image[0, :, 224:], astronaut[:, 224:])
    assert torch.equal(left.image[0, :, :224], whole.image[0, :, :224])
    inside = whole.mask[0] == 1
    off, less = ((one.image[0] - astronaut)[inside].mean().abs() for one in (whole, toned))
    assert off > 0.1
    assert less < 0.01


def test_a_face_that_is_judged_unfit_is_left_and_reported(astronaut, identity, monkeypatch):
    def judge(images, aligned, restored, options, *, host):
        return tuple(Verdict(face, accepted=False, why="unlike before") for face in restored)

    monkeypatch.setattr(pipeline, "judge_faces", judge)
    result = restore_image(astronaut, identity, host=CPU)
    assert torch.equal(result.image[0], astronaut)
    assert result.faces == result.aligned == ()
    (report,) = result.reports
    assert (report.selected, report.restored, report.why) == (True, False, "unlike before")
    assert result.text.endswith("left as it is, unlike before")


def test_a_picture_that_holds_all_detail_stays_as_it_is(astronaut, identity, monkeypatch):
    monkeypatch.setattr(identity, "backend", Darker())
    result = restore_image(astronaut, identity, host=CPU)
    (report,) = result.reports
    assert (result.image[0] - astronaut).abs().max() < 0.1
    assert (result.image[0] - astronaut).abs().mean() < 0.001
    assert result.faces[0].base is not None
    assert "the picture's own detail was kept" in result.text
    assert report.to_dict()["judgement"]["detail"]["kept"] > 0.9


def test_without_judgement_the_face_is_the_models(astronaut, identity, monkeypatch):
    monkeypatch.setattr(identity, "backend", Darker())
    result = restore_image(astronaut, identity, host=CPU, **MODELS_FACE)
    assert result.faces[0].base is None
    assert result.reports[0].judgement is None
    assert result.text.endswith("restored")


def test_what_was_not_asked_for_is_told_from_what_failed(astronaut, identity):
    (report,) = restore_image(astronaut, identity, indices="1-", host=CPU).reports
    assert (report.selected, report.restored, report.why) == (False, False, "number 0 was not asked for")
    assert report.to_dict()["selected"] is False


def test_the_steps_one_by_one_are_the_whole(astronaut, identity):
    found = find_faces(astronaut)
    aligned = align_faces(astronaut, found, 256)
    restored = restore_faces(identity, aligned, CPU)
    verdicts = judge_faces(astronaut, aligned, restored)
    pasted, mask = paste_back(astronaut, [one.face for one in verdicts if one.accepted])
    whole = restore_image(astronaut, identity, host=CPU)
    assert torch.equal(pasted, whole.image)
    assert torch.equal(mask, whole.mask)


@pytest.mark.parametrize("wrong", [255.0, "array", "negative"])
def test_images_of_another_range_or_type_are_refused(astronaut, identity, wrong):
    images = {255.0: astronaut * 255, "array": astronaut.numpy(), "negative": astronaut * 2 - 1}
    with pytest.raises(ImageError, match=r"expected .*\[0, 1\]"):
        restore_image(images[wrong], identity, host=CPU)


def test_the_check_heeds_detector_and_host(astronaut, tmp_path, recording_host):
    with pytest.raises(MissingWeightsError, match=r"none\.pth"):
        check_aligned(astronaut, detector="retinaface_mobile0.25", detector_weights=tmp_path / "none.pth")
    with pytest.raises(KeyboardInterrupt):
        check_aligned(astronaut, host=recording_host(patience=0))


def test_an_interrupt_stops_before_the_next_picture_is_searched(astronaut, identity, recording_host):
    with pytest.raises(KeyboardInterrupt):
        restore_image(torch.stack([astronaut] * 3), identity, host=recording_host(patience=1))


@pytest.mark.parametrize("template", ["gpen", "ffhq"])
def test_tells_an_aligned_crop_from_a_photo(astronaut, template):
    found = detect_faces(astronaut)[0]
    check_aligned(align_face(astronaut, found, 256, template).crop, template=template)
    with pytest.raises(FaceError, match="eye distances"):
        check_aligned(astronaut, template=template)
    with pytest.raises(FaceError, match="No face"):
        check_aligned(torch.full((256, 256, 3), 0.5), template=template)
