"""Who a face is by its name, and what chance it has by it."""

from __future__ import annotations

import pytest
import torch

from gpen_nodes.facesets import generator_of, number_names, person_of


@pytest.mark.parametrize(
    ("source", "person"),
    [
        ("001_neutral.jpg", "001"),
        ("london/001_smiling.JPG", "001"),
        ("congress_335x410/A000055.jpg", "A000055"),
        ("shard-01.tar/00012.png", "00012"),
        ("bio_guide_021734.jpg", "bio_guide_021734"),
        ("IMG_2034.jpg", "IMG_2034"),
        ("ada.png", "ada"),
    ],
)
def test_persons_by_file_names(source, person):
    assert person_of(source) == person


def test_further_faces_of_one_photo_are_numbered():
    assert number_names(["a/b.jpg", "a/b.jpg", "c.png", "a/b.jpg"]) == ["a/b", "a/b_2", "c", "a/b_3"]


def test_chance_by_name_and_seed():
    def draw(name, seed=0):
        return torch.rand((), generator=generator_of(name, seed)).item()

    assert draw("x/face") == draw("y/face") == draw("face")
    assert len({draw("face"), draw("face_2"), draw("face", 1), draw("facf")}) == 4
