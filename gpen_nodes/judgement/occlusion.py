"""What is in front stays in front: where a restored face contradicts its input coarsely, the input wins.

Blur, noise and compression leave alone what is larger than 1/32 of an aligned face, but for blur across edges
near by. So an input contradicts where, at 32 px, it is darker, brighter or of another colour than all of the
restored face around that point: no blur of that face gives such a value. It is a hand, a microphone or a
strand of hair that the network took for a part of the face.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .bands import middle, resized

__all__ = ["contradiction"]

_SIDE = 32  # pixels
_AROUND = 3  # pixels there
# Of a difference in luma, up to the first is what degradation leaves; from the second on nothing explains it.
# Lower ones find more and cost more: these cost 0.03 dB on faces with nothing in front, degraded ×8.
_EXPLAINED, _CONTRADICTING = 8 / 255, 16 / 255
_COLOURS = 1.5  # differences in Cb and Cr count so much: skin and what is before it differ less there


def contradiction(before: Tensor, after: Tensor, agreement: float) -> Tensor:
    """Where a restored face can't be what the input shows.

    Args:
        before, after: YCbCr [3, S, S] as ``to_ycc`` gives it. A face that is darker or of another tint as a
            whole is compared without that.
        agreement: how much of the restored face's colour the input has, in [0, 1]: a gray input contradicts
            no colour.

    Returns:
        [1, S, S] in [0, 1], soft: the share by which the input has to win.
    """
    seen, restored = resized(before, _SIDE), resized(after, _SIDE)
    restored = restored + middle(seen - restored).flatten(1).median(1).values[:, None, None]
    beyond = torch.maximum(seen - _largest(restored), -_largest(-restored) - seen)
    weights = beyond.new_tensor([1, _COLOURS * agreement, _COLOURS * agreement])
    worst = (weights[:, None, None] * beyond).amax(0, keepdim=True)
    share = ((worst - _EXPLAINED) / (_CONTRADICTING - _EXPLAINED)).clamp(0, 1)
    # What lies around a contradiction is compared with it, and so found only in part.
    return resized(_largest(share), before.shape[-1]).clamp(0, 1)


def _largest(planes: Tensor) -> Tensor:
    """The largest value around each point."""
    return F.max_pool2d(planes[None], _AROUND, 1, _AROUND // 2)[0]
