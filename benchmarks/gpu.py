"""The same measurement on a CUDA device: milliseconds, memory, and memory traffic against the device's."""

from __future__ import annotations

import numpy as np
from measure import Work
from variants import Case, network

__all__ = ["copy_bandwidth", "describe", "least_traffic", "load"]

REPEATS = 10  # Forwards a turn: one alone would find the clocks asleep.


def load(variant: str, case: Case) -> Work:
    """Load a variant, run it once and keep what it made; for a worker."""
    import torch

    torch.set_grad_enabled(False)
    forward = network(variant, case.weights, "cuda")
    x = torch.from_numpy(np.load(case.picture)).to("cuda")
    case.keep(variant, forward(x).cpu().numpy())
    torch.cuda.empty_cache()  # What loading left, and the capture of a graph.
    forward(x)

    def run() -> None:
        for _ in range(REPEATS):
            forward(x)
        torch.cuda.synchronize()

    return Work(
        run, REPEATS, torch.cuda.reset_peak_memory_stats, lambda: torch.cuda.max_memory_reserved() / 1e6
    )


def describe() -> str:
    """The device's name."""
    import torch

    return torch.cuda.get_device_name()


def copy_bandwidth() -> float:
    """Bytes per second that the device reads and writes when it copies 1 GB; the best of ten."""
    import torch

    source = torch.zeros(10**9, dtype=torch.uint8, device="cuda")
    target = source.clone()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    seconds = []
    for _ in range(10):
        start.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        seconds.append(start.elapsed_time(end) / 1e3)
    return 2 * source.numel() / min(seconds)


def least_traffic(case: Case) -> int:
    """Values that a face moves if each layer reads weights and inputs once and writes its output once."""
    import torch
    from torch import nn

    from gpen_nodes import Gpen, GpenConfig, read_checkpoint
    from gpen_nodes.model.encoders import EncoderStage
    from gpen_nodes.model.layers import StyledConv, ToRgb

    def count(_: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        moved.extend(t.numel() for t in (*inputs, output) if t is not None)

    with torch.device("meta"):
        module = Gpen(GpenConfig.from_state_dict(read_checkpoint(case.weights).state))
        face = torch.empty(np.load(case.picture, mmap_mode="r").shape)
    moved = [p.numel() for p in module.parameters()]
    for layer in module.modules():
        if isinstance(layer, EncoderStage | StyledConv | ToRgb | nn.Conv2d):
            layer.register_forward_hook(count)
    module(face)
    return sum(moved)
