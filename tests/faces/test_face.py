from __future__ import annotations

import dataclasses

import pytest
import torch

import gpen_nodes
from gpen_nodes import AlignedFace, DetectedFace, align_face, detect_faces


def test_an_aligned_face_is_the_detected_one_and_more(astronaut: torch.Tensor) -> None:
    (found,) = detect_faces(astronaut)
    aligned = align_face(astronaut, found, 64)
    assert isinstance(aligned, AlignedFace)
    assert all(getattr(aligned, f.name) == getattr(found, f.name) for f in dataclasses.fields(DetectedFace))
    assert aligned.to_dict() == found.to_dict()
    assert str(aligned) == str(found)
    assert len(repr(aligned)) < 500  # a host that prints it prints no pixels


def test_the_old_name_gives_the_new_class_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="AlignedFace"):
        assert gpen_nodes.Face is DetectedFace
    with pytest.raises(AttributeError, match="no attribute 'Faces'"):
        gpen_nodes.Faces  # noqa: B018
