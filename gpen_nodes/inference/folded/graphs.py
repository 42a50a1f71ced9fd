"""``GraphedGpen``: a folded network whose kernels are recorded once as a CUDA graph and launched together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import OptionError
from .network import FoldedGpen

__all__ = ["GraphedGpen", "has_graphs"]

_one_capture = threading.Lock()  # CUDA allows one at a time in a process.


def has_graphs(device: torch.device) -> bool:
    """Whether a device replays graphs; on others a ``GraphedGpen`` is the network inside it."""
    return device.type == "cuda"


@cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream for captures. One for all: libraries keep a workspace for each stream they have seen."""
    return torch.cuda.Stream(device)


class Captured(NamedTuple):
    """A graph and the tensors that it reads and writes: at the same addresses each time it is replayed."""

    key: object
    graph: torch.cuda.CUDAGraph
    image: Tensor
    output: Tensor


class GraphedGpen(nn.Module):
    """``FoldedGpen``, captured at the first face as a CUDA graph, which is replayed for others of its shape.

    One graph is held, with its working memory, until faces have another shape or the weights have moved.
    One call at a time: the graph has one place for its input.
    """

    def __init__(self, folded: FoldedGpen) -> None:
        super().__init__()
        self.folded = folded
        self._captured: Captured | None = None

    def _apply(self, *args: Any, **kwargs: Any) -> GraphedGpen:
        super()._apply(*args, **kwargs)
        if self._captured is not None and self._captured.key != self._key(self._captured.image):
            self._captured = None  # The host moved the weights: it gets the graph's memory, too.
        return self

    @torch.no_grad()
    def forward(self, image: Tensor, check: Callable[[], None] = lambda: None) -> Tensor:
        """As ``FoldedGpen``; ``check`` is called once before a replay, which takes milliseconds.

        Raises:
            OptionError: this network cannot be captured here.
        """
        if not has_graphs(image.device):
            return self.folded(image, check)
        check()
        if self._captured is None or self._captured.key != self._key(image):
            self._captured = None  # Its memory is needed for the next.
            self._captured = self._capture(image, check)
        self._captured.image.copy_(image)
        self._captured.graph.replay()
        return self._captured.output.clone()

    def _key(self, image: Tensor) -> object:
        """What a graph was captured for. Hosts also replace weights one by one, without ``_apply``."""
        weights = chain(self.folded.parameters(), self.folded.buffers())
        return image.device, image.shape, [weight.data_ptr() for weight in weights]

    @torch.inference_mode(False)  # Else nobody could write to the graph's input outside of it.
    def _capture(self, image: Tensor, check: Callable[[], None]) -> Captured:
        with _one_capture, torch.cuda.device(image.device):
            image, graph, stream = image.clone(), torch.cuda.CUDAGraph(), side_stream(image.device)
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self.folded(image, check)  # Libraries choose kernels and take what they keep.
                try:
                    # Other threads of a host may use the GPU meanwhile.
                    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                        output = self.folded(image)
                except RuntimeError as error:
                    raise _why(error) from None
        return Captured(self._key(image), graph, image, output)


def _why(error: RuntimeError) -> Exception:
    """What broke a capture: ending it, where the error comes from then, fails as well and hides that."""
    first = error.__context__ if isinstance(error.__context__, RuntimeError) else error
    if "out of memory" in str(first).lower():
        return first
    return OptionError(f"CUDA cannot capture this network as a graph ({first}); restore without cuda_graphs.")
