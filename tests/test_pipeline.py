"""The whole way on real photos, with restorers whose effect is known."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from gpen_nodes import (
    Face,
    FaceError,
    LocalHost,
    Restorer,
    align_face,
    check_aligned,
    detect_faces,
    read_checkpoint,
    restore_faces,
    restore_image,
    select_faces,
)

CPU = LocalHost("cpu")


@pytest.fixture
def identity(tiny_checkpoint, monkeypatch):
    """A restorer of 256 px that gives back what it gets."""
    restorer = Restorer(read_checkpoint(tiny_checkpoint))
    restorer.config = dataclasses.replace(restorer.config, size=256, input_size=256)
    monkeypatch.setattr(restorer, "module", torch.nn.Identity())
    return restorer


def face(box, image_index=0):
    return Face(box, ((0, 0),) * 5, 1.0, image_index, (100, 100))


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


def test_small_faces_and_those_beyond_the_first_are_named():
    faces = [face((0, 0, 50, 50)), face((0, 0, 30, 30)), face((0, 0, 10, 10)), face((0, 0, 40, 40), 1)]
    reports = select_faces(faces, min_face=20, max_faces=1)
    assert [r.restored for r in reports] == [True, False, False, True]
    assert reports[1].why == "beyond the first 1"
    assert reports[2].why == "smaller than min_face: 10 < 20 px"
    assert reports[2].to_dict()["why"] == reports[2].why


def test_faces_must_be_aligned_to_be_restored(identity):
    with pytest.raises(FaceError, match="aligned"):
        restore_faces(identity, [face((0, 0, 50, 50))], CPU)


@pytest.mark.parametrize("template", ["gpen", "ffhq"])
def test_tells_an_aligned_crop_from_a_photo(astronaut, template):
    found = detect_faces(astronaut)[0]
    check_aligned(align_face(astronaut, found, 256, template).crop, template=template)
    with pytest.raises(FaceError, match="eye distances"):
        check_aligned(astronaut, template=template)
    with pytest.raises(FaceError, match="No face"):
        check_aligned(torch.full((256, 256, 3), 0.5), template=template)
