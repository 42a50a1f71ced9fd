"""What a folded forward costs, counted: a change that adds work or copies shows, whatever the machine."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gpen_nodes.inference import hardware
from gpen_nodes.inference.folded import fold, layers
from gpen_nodes.model import Gpen, GpenConfig

VIEWS = ("slice", "view", "permute", "expand", "transpose", "t", "select", "detach", "_unsafe_view", "alias")


class Counter(TorchDispatchMode):
    """Calls by operator, and the bytes of all results that are no views."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = {}
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if isinstance(result, torch.Tensor) and result.numel() == 0:
            return result  # Of a map that is made in one piece, nothing is kept from the piece before.
        self.calls[name] = self.calls.get(name, 0) + 1
        if isinstance(result, torch.Tensor) and name not in VIEWS:
            self.bytes += result.numel() * result.element_size()
        return result


@pytest.fixture
def counted(monkeypatch) -> Counter:
    """One forward of 128 px on the plain path, which is the same on every machine."""
    monkeypatch.setattr(hardware, "has_fused_conv2d", lambda dtype: False)
    monkeypatch.setattr(layers, "winograd_form", lambda *layer: None)
    folded = fold(Gpen(GpenConfig(128, 128, 0.125, 2, style_dim=64, mapping_depth=2)))
    image = torch.zeros(1, 3, 128, 128)
    folded(image)
    counter = Counter()
    with torch.no_grad(), counter:
        folded(image)
    return counter


def test_convolutions(counted):
    encoder = 1 + 5 * 2  # the picture's own, and a low-pass and a convolution for each octave down to 4 px
    finest_again = 2  # the picture's own, twice more for the finest level
    first = 1 + 1 + 1  # the convolution, its demodulation, the features' gain
    # Below 128 px styles scale activations, so that demodulation is a step of its own.
    small = 4 * (1 + 1 + 1 + 1 + 1 + 1)  # transposed, low-pass, features; convolution, demodulation, features
    finest = 1 + 1 + 1 + 1 + 1
    pictures = 6 * 2  # of both halves of the channels of each size
    assert counted.calls["convolution"] == encoder + finest_again + first + small + finest + pictures


def test_copies_and_bytes(counted):
    copies = sum(counted.calls.get(name, 0) for name in ("cat", "copy_", "clone", "constant_pad_nd"))
    assert copies <= 50
    assert counted.bytes <= 88e6  # 85e6 when this was written
