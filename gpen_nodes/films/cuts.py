"""Where a film jumps to another picture."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

__all__ = ["Cuts"]

_SIDE = 32  # pixels of the thumbnail: what is finer moves
_LEAST = 14.0  # of 255: less is no other picture
_TIMES = 4.0  # as much as the frames before differed: motion grows slowly, a cut doesn't
_REMEMBERED = 6


class Cuts:
    """Looks at frames one after the other."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._usual: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, gray: np.ndarray) -> bool:
        """Whether a cut lies before this frame.

        Args:
            gray: luma [H, W] uint8.
        """
        small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        last, self._last = self._last, small
        if last is None:
            return False
        if last.shape != small.shape:
            return True
        difference = float(np.abs(small - last).mean())
        cut = difference > max(_LEAST, _TIMES * float(np.median(self._usual or [0.0])))
        if cut:
            self._usual.clear()
        else:
            self._usual.append(difference)
        return cut
