"""What detectors share: a set of detections, and the choice among those that overlap."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Detections", "non_maximum"]

_BLOCK = 2048  # boxes compared at once: bounds the memory of their overlaps to a few tens of MB


class Detections(NamedTuple):
    """Faces found in one image, in pixels of that image with integers at pixel centres.

    Attributes:
        boxes: [N, 4], x0, y0, x1, y1.
        scores: [N] in [0, 1].
        points: [N, 5, 2], five landmarks as (x, y).
    """

    boxes: Tensor
    scores: Tensor
    points: Tensor

    def take(self, chosen: Tensor) -> Detections:
        """Those that an index or a mask chooses."""
        return Detections(*(part[chosen] for part in self))


def non_maximum(boxes: Tensor, scores: Tensor, limit: float, *, of_smaller: bool = False) -> Tensor:
    """Greedy non-maximum suppression: drop each box that overlaps a kept one of a higher score.

    No loop over boxes. Within a block sorted by score, "kept unless a kept one before it overlaps" has
    exactly one solution, and applying the rule to everything at once, again and again, reaches it in as many
    rounds as the longest chain of boxes that overlap.

    Args:
        boxes: [N, 4], x0, y0, x1, y1.
        scores: [N].
        limit: overlap above which two boxes are the same thing.
        of_smaller: overlap as a share of the smaller box, not of the union.

    Returns:
        Indices of the kept boxes, the highest score first.
    """
    order = scores.argsort(descending=True, stable=True)
    kept = order[:0]
    for block in order.split(_BLOCK):
        free = ~(_overlaps(boxes[kept], boxes[block], of_smaller) > limit).any(0)
        block = block[free]
        rivals = (_overlaps(boxes[block], boxes[block], of_smaller) > limit).triu(1)
        keep = torch.ones_like(block, dtype=torch.bool)
        while True:
            now = ~(rivals & keep[:, None]).any(0)
            if torch.equal(now, keep):
                break
            keep = now
        kept = torch.cat([kept, block[keep]])
    return kept


def _overlaps(a: Tensor, b: Tensor, of_smaller: bool) -> Tensor:
    """[N, 4] and [M, 4] to [N, M]: intersection over union, or over the smaller of the two areas."""
    shared = torch.minimum(a[:, None, 2:], b[None, :, 2:]) - torch.maximum(a[:, None, :2], b[None, :, :2])
    shared = shared.clamp(min=0).prod(2)
    area_a, area_b = ((box[:, 2:] - box[:, :2]).clamp(min=0).prod(1) for box in (a, b))
    if of_smaller:
        whole = torch.minimum(area_a[:, None], area_b[None])
    else:
        whole = area_a[:, None] + area_b[None] - shared
    return shared / whole.clamp(min=1e-9)
