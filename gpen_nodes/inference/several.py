"""Several networks that act as one: each face goes through the smallest that covers its pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import OptionError
from ..host import Host
from .restorer import Restorer

__all__ = ["Restorers", "covering_size"]


def covering_size(sizes: Sequence[int], pixels: float) -> int:
    """The smallest of ``sizes`` that is ``pixels`` or more; the largest, where none is."""
    return min((size for size in sizes if size >= pixels), default=max(sizes))


class Restorers:
    """Networks for faces of different sizes; in ``restore_image`` and ``restore_faces`` as one ``Restorer``.

    A larger network takes more time, and draws detail that a small face's pixels say nothing of; a smaller
    one loses detail that they hold.

    Args:
        restorers: one or more. Of those with one input size the first counts.

    Raises:
        OptionError: none, or of different tasks.
    """

    def __init__(self, restorers: Sequence[Restorer]) -> None:
        if not restorers:
            raise OptionError("Found no model; expected one or more.")
        if len(tasks := sorted({one.task for one in restorers})) > 1:
            raise OptionError(f"Found models that are to {' and to '.join(tasks)}; expected one task.")
        by_size: dict[int, Restorer] = {}
        for one in restorers:
            by_size.setdefault(one.input_size, one)
        self._by_size = dict(sorted(by_size.items()))

    @property
    def restorers(self) -> tuple[Restorer, ...]:
        """Those that count, the smallest first."""
        return tuple(self._by_size.values())

    @property
    def task(self) -> str:
        """What all were trained to do, one of ``TASKS``."""
        return self.restorers[0].task

    @property
    def input_sizes(self) -> tuple[int, ...]:
        """Sides of the aligned faces to put in, in pixels, the smallest first."""
        return tuple(self._by_size)

    @property
    def size(self) -> int:
        """Side of the largest faces that come out, in pixels."""
        return self.restorers[-1].size

    def chunk(self, device: torch.device) -> int:
        """Faces that go through a network together, at most."""
        return max(one.chunk(device) for one in self.restorers)

    def restore(self, crops: Tensor, host: Host) -> Tensor:
        """As ``Restorer.restore``, by the smallest network that covers the crops' side."""
        return self._by_size[covering_size(self.input_sizes, crops.shape[1])].restore(crops, host)
