"""Crops of many faces: replaced, and restored in as many parts as the memory asks for."""

from __future__ import annotations

import pytest
import torch

from gpen_nodes import (
    AlignedFace,
    DetectedFace,
    FaceError,
    ImageError,
    LocalHost,
    Restorer,
    read_checkpoint,
    replace_crops,
    restore_crops,
    restore_faces,
)

CPU = LocalHost("cpu")
FOUND = ((0, 0, 50, 50), ((0, 0),) * 5, 1.0, 0, (100, 100))
FACE = AlignedFace(*FOUND, torch.eye(2, 3), torch.zeros(8, 8, 3), 8)


@pytest.fixture
def restorer(tiny_checkpoint):
    return Restorer(read_checkpoint(tiny_checkpoint))


def test_alpha_is_ignored_and_gray_is_colour(restorer):
    gray = torch.rand(2, 64, 64, 1)
    rgba = torch.cat([gray.expand(-1, -1, -1, 3), torch.rand(2, 64, 64, 1)], dim=3)
    restored = restore_crops(restorer, gray, CPU)
    assert restored.shape == (2, 64, 64, 3)
    assert torch.equal(restored, restore_crops(restorer, rgba, CPU))
    assert restore_crops(restorer, gray[:0], CPU).shape == (0, 64, 64, 3)


def test_faces_must_be_aligned_to_be_restored(restorer):
    with pytest.raises(FaceError, match="align_faces"):
        restore_faces(restorer, [DetectedFace(*FOUND)], CPU)


def test_edited_crops_take_the_place_of_the_faces_own():
    crops = torch.rand(2, 8, 8, 4)
    first, second = replace_crops([FACE, FACE], crops)
    assert torch.equal(first.crop, crops[0, ..., :3])
    assert torch.equal(second.crop, crops[1, ..., :3])
    with pytest.raises(ImageError, match=r"2 crops of 8×8 px.* 1 faces"):
        replace_crops([FACE], crops)
    with pytest.raises(ImageError, match="one square"):
        replace_crops([FACE, FACE], crops[:, :4])
