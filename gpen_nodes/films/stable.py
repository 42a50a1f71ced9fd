"""Restored faces that don't boil: each is blended with those before it, as far as the face shows the same.

What is blended is the detail: the restored crop minus the coarse tones of its input. So light that changes
acts at once, and the input's own noise is averaged away with the network's answer to it. The crops are
aligned, so that a face hardly moves in them; what still moves (a turning head, a mouth) is followed by
optical flow (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", 2016, arXiv:1603.03590, in
OpenCV). Where the input changes by more than its own noise, blending ends: there is something new.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from .motion import as_gray, dense_flow

__all__ = ["Stabiliser"]

_COARSE = 1 / 10  # of a crop's side: deviation of the blur beyond which tones are the input's
_COARSE_SIDE = 64  # pixels: what is so blurred has nothing finer
_COMPARED = 1 / 48  # the same for the comparison of inputs
_MOST = 0.93  # share of the past at stability 1
_NEW = 3.0  # times the usual difference, from which on nothing of the past is used
_FLOW_SIDE = 128  # pixels; 256 finds no more than noise


@dataclass(frozen=True, eq=False)
class _Past:
    """What is kept of a face: [S, S, 3] detail, and the input at the flow's side."""

    detail: Tensor
    seen: Tensor
    gray: np.ndarray
    usual: float


class Stabiliser:
    """Blends the restored crops of one track, in the order of its frames.

    Args:
        stability: from 0, which leaves each crop as it is, to 1.
    """

    def __init__(self, stability: float) -> None:
        self._share = stability * _MOST
        self._past: _Past | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def blend(self, before: Tensor, after: Tensor, restored: float = 1.0) -> Tensor:
        """The next frame's face.

        Args:
            before: [S, S, 3] in [0, 1], the aligned input.
            after: [S, S, 3] in [0, 1], restored from it.
            restored: how much of its detail is not the input's own, in [0, 1]: what is real doesn't boil.

        Returns:
            [S, S, 3] in [0, 1].
        """
        if not self._share:
            return after
        side = len(after)
        coarse = _resized(_blurred(_resized(before, _COARSE_SIDE), _COARSE), side)
        small = _blurred(_resized(before, _FLOW_SIDE), _COMPARED)
        gray = as_gray(small[None])
        detail, usual = after - coarse, 0.0
        if self._past is not None:
            past = self._past
            flow = dense_flow(self._flow, gray, past.gray)
            difference = (_follow(past.seen, flow) - small).abs().mean(-1)
            middle = max(difference.median().item(), 1 / 255)
            usual = past.usual or middle
            fresh = (difference / (_NEW * usual)).clamp(0, 1) ** 2
            usual += 0.2 * (middle - usual)
            share = self._share * restored * (1 - _resized(fresh, side)[..., None])
            detail = torch.lerp(detail, _follow(_resized(past.detail, side), flow), share)
        self._past = _Past(detail, small, gray, usual)
        return (coarse + detail).clamp(0, 1)


def _blurred(crop: Tensor, deviation: float) -> Tensor:
    """[S, S, 3] by a Gaussian, in shares of the side."""
    blurred = cv2.GaussianBlur(crop.cpu().numpy(), (0, 0), deviation * len(crop))
    return torch.from_numpy(blurred).to(crop)


def _follow(crop: Tensor, flow: np.ndarray) -> Tensor:
    """[S, S, 3] sampled where the flow, in pixels of its own side, points to."""
    side = len(crop)
    if len(flow) != side:
        flow = cv2.resize(flow, (side, side), interpolation=cv2.INTER_LINEAR) * (side / len(flow))
    ys, xs = np.mgrid[:side, :side].astype(np.float32)
    places = xs + flow[..., 0], ys + flow[..., 1]
    cubic, edge = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    return torch.from_numpy(cv2.remap(crop.cpu().numpy(), *places, cubic, borderMode=edge)).to(crop)


def _resized(values: Tensor, side: int) -> Tensor:
    """[S, S] or [S, S, 3] of any range at another side."""
    if len(values) == side:
        return values
    how = cv2.INTER_CUBIC if side > len(values) else cv2.INTER_AREA
    return torch.from_numpy(cv2.resize(values.cpu().numpy(), (side, side), interpolation=how)).to(values)
