"""What is in front stays in front: where a restored face contradicts its input coarsely, the input wins.

Blur, noise and compression leave alone what is larger than 1/32 of an aligned face, but for blur across edges
near by. So an input contradicts where, at 32 px, it is darker or brighter than all of the restored face
around that point: no blur of that face gives such a value. It is a hand, a microphone or a strand of hair
that the network took for a part of the face.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .bands import resized

__all__ = ["contradiction"]

_SIDE = 32  # pixels
_AROUND = 3  # pixels there
# On held-out portraits, from ×2 to ×8, what noise and compression leave of a difference is below the first.
_EXPLAINED, _CONTRADICTING = 10 / 255, 24 / 255


def contradiction(before: Tensor, after: Tensor) -> Tensor:
    """Where a restored face can't be what the input shows.

    Args:
        before, after: luma [1, S, S] in [0, 1].

    Returns:
        [1, S, S] in [0, 1], soft: the share by which the input has to win.
    """
    seen, restored = resized(before, _SIDE), resized(after, _SIDE)
    brighter, darker = seen - _largest(restored), -_largest(-restored) - seen
    beyond = torch.maximum(brighter, darker)
    share = ((beyond - _EXPLAINED) / (_CONTRADICTING - _EXPLAINED)).clamp(0, 1)
    # What lies around a contradiction is compared with it, and so found only in part.
    return resized(_largest(share), before.shape[-1]).clamp(0, 1)


def _largest(planes: Tensor) -> Tensor:
    """The largest value around each point."""
    return F.max_pool2d(planes[None], _AROUND, 1, _AROUND // 2)[0]
