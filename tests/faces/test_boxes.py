from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gpen_nodes.faces.geometry import boxes as boxes_module
from gpen_nodes.faces.geometry.boxes import non_maximum


def one_by_one(boxes: Tensor, scores: Tensor, limit: float, of_smaller: bool) -> list[int]:
    """The textbook's loop."""
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i].item()):
        for j in kept:
            low, high = torch.maximum(boxes[i, :2], boxes[j, :2]), torch.minimum(boxes[i, 2:], boxes[j, 2:])
            shared = (high - low).clamp(min=0).prod()
            a, b = ((box[2:] - box[:2]).prod() for box in (boxes[i], boxes[j]))
            if shared / (min(a, b) if of_smaller else a + b - shared) > limit:
                break
        else:
            kept.append(i)
    return kept


@given(st.integers(0, 60), st.integers(0, 10**6), st.booleans(), st.sampled_from([3, 2048]))
@settings(deadline=None, max_examples=60)
def test_agrees_with_the_loop(count: int, seed: int, of_smaller: bool, block: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 40
    boxes = torch.cat([corners, corners + 5 + 20 * torch.rand(count, 2, generator=generator)], dim=1)
    scores = torch.rand(count, generator=generator)
    before, boxes_module._BLOCK = boxes_module._BLOCK, block
    try:
        found = non_maximum(boxes, scores, 0.4, of_smaller=of_smaller).tolist()
    finally:
        boxes_module._BLOCK = before
    assert found == one_by_one(boxes, scores, 0.4, of_smaller)


def test_an_empty_box_overlaps_nothing() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 5, 5], [5, 5, 5, 5]])
    assert non_maximum(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 1, 2]
