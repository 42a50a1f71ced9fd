"""The whole way on real photos, with restorers whose effect is known."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from gpen_nodes import (
    FaceError,
    LocalHost,
    Restorer,
    align_face,
    check_aligned,
    detect_faces,
    read_checkpoint,
    restore_image,
)

CPU = LocalHost("cpu")


class Unchanged(torch.nn.Module):
    def forward(self, x, check):
        return x


@pytest.fixture
def identity(tiny_checkpoint, monkeypatch):
    """A restorer of 256 px that gives back what it gets."""
    restorer = Restorer(read_checkpoint(tiny_checkpoint))
    restorer.config = dataclasses.replace(restorer.config, size=256, input_size=256)
    monkeypatch.setattr(restorer, "module", Unchanged())
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
    assert lines[0] == "image 0: no face found, unchanged"
    assert lines[1].startswith("image 1: face of 9")
    assert lines[1].endswith("left as it is, smaller than min_face: 97 < 200 px")


def test_an_empty_batch_comes_back_empty(identity):
    result = restore_image(torch.zeros(0, 64, 48, 4), identity, host=CPU)
    assert result.image.shape == (0, 64, 48, 4)
    assert result.mask.shape == (0, 64, 48)
    assert result.text == ""


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
