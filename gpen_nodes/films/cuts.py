"""Where a film jumps to another picture."""

from __future__ import annotations

import cv2
import numpy as np

from .motion import dense_flow

__all__ = ["Cuts"]

_SIDE = 96  # pixels of the thumbnails that are compared
# Mean difference, of 255, that no motion explains. Photos that are moved by a tenth of their side, turned by
# 4° or zoomed by 6 % leave up to 4.5 with noise; two portraits before one wall, 10.6; two other photos, 20.
_ANOTHER = 8.0


class Cuts:
    """Looks at frames one after the other."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._xs, self._ys = np.meshgrid(*2 * [np.arange(_SIDE, dtype=np.float32)])

    def add(self, gray: np.ndarray) -> bool:
        """Whether a cut lies before this frame.

        Args:
            gray: luma [H, W] uint8.
        """
        small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        last, self._last = self._last, small
        if last is None:
            return False
        flow = dense_flow(self._flow, small, last)
        places = self._xs + flow[..., 0], self._ys + flow[..., 1]
        expected = cv2.remap(last, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return float(cv2.absdiff(expected, small).mean()) > _ANOTHER
