"""A forward on a GPU never waits for it, and has fixed shapes: seen on a fake one, on any machine.

Fake tensors know shapes and devices and hold no numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from gpen_nodes.inference.folded import fold
from gpen_nodes.model import Discriminator, DiscriminatorConfig, Gpen, GpenConfig

GPU = torch.device("cuda:0")
SMALL = GpenConfig(128, 128, 0.0625, 2, style_dim=64, mapping_depth=2)
RESNET = GpenConfig(64, 64, 0.0625, 1, style_dim=64, mapping_depth=2, encoder="resnet50")
CONFIGS = {
    "concat": SMALL,
    "add": dataclasses.replace(SMALL, concat=False),
    "larger out than in": dataclasses.replace(SMALL, input_size=64),
    "resnet50": RESNET,
    "grown resnet50": dataclasses.replace(RESNET, size=128, input_size=128, octaves=1),
}
READS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}  # item, nonzero and their like


class Watch(TorchDispatchMode):
    """Notes operators that read values on the host, and tensors that are not on the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.waits = 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        if READS.intersection(func.tags):
            self.waits.append(str(func))
        result = func(*args, **(kwargs or {}))
        seen = tree_flatten((args, kwargs, result))[0]
        if any(isinstance(x, Tensor) and x.device != GPU for x in seen):
            self.waits.append(str(func))
        return result


@pytest.fixture
def fake_gpu():
    """Makes tensors of a GPU that need not be there, and copies real ones to it."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        try:
            torch.empty(2, device=GPU)[:1].contiguous()
        except RuntimeError as error:  # 2.1 and 2.3 do so; 2.14 does not.
            pytest.skip(f"this torch asks the driver even for a fake GPU: {error}")
        yield


def faces(config: GpenConfig, batch: int, device: torch.device | str = GPU) -> Tensor:
    return torch.zeros(batch, 3, config.input_size, config.input_size, device=device)


@pytest.mark.parametrize(
    ("dtype", "batch"), [(torch.float32, 1), (torch.float32, 3), (torch.bfloat16, 1), (torch.float16, 3)]
)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_nothing_waits_for_the_gpu_after_the_first_face(config, dtype, batch, request):
    folded = fold(Gpen(config), dtype)  # with real weights, as it happens in a host
    request.getfixturevalue("fake_gpu")
    folded.to(GPU)(faces(config, batch))
    with Watch() as watch:
        image = faces(config, batch)
        restored = folded(image)
    assert restored.shape == (batch, 3, config.size, config.size)
    assert watch.calls > 100
    assert watch.waits == []


@pytest.mark.parametrize("name", ["concat", "resnet50", "grown resnet50"])
def test_the_networks_in_training_do_not_wait_for_the_gpu(name, fake_gpu):
    config = CONFIGS[name]
    with GPU:  # Parameters can't be moved to a fake device.
        module = Gpen(config)
        discriminator = Discriminator(DiscriminatorConfig(config.size, config.narrow, config.multiplier))
    with Watch() as watch:
        discriminator(module(faces(config, 2)))  # Going back needs a real GPU.
    assert watch.calls > 100
    assert watch.waits == []


@pytest.mark.parametrize("wait", [Tensor.item, Tensor.nonzero, Tensor.cpu, lambda x: x + torch.tensor([1.0])])
def test_the_watch_sees_what_waits(wait, fake_gpu):
    x = torch.zeros(1, device=GPU)
    with Watch() as watch, contextlib.suppress(RuntimeError):  # Some have no answer without numbers.
        wait(x)
    assert watch.waits


def test_noise_is_kept_where_it_was_copied_to_until_the_network_leaves_and_never_on_a_cpu():
    config = CONFIGS["larger out than in"]
    folded = fold(Gpen(config))
    before = folded.state_dict().keys()

    def kept() -> list[str]:
        return [name for name, _ in folded.named_buffers() if name.startswith("noise")]

    folded(faces(config, 1, "cpu"))
    assert kept() == []
    folded.to("meta")(faces(config, 2, "meta"))
    assert kept() == ["noise128"]
    assert folded.noise128.shape == (1, config.widths[128], 128, 128)
    assert folded.state_dict().keys() == before
    noise = folded.noise128
    folded.to("meta")(faces(config, 1, "meta"))
    assert folded.noise128 is noise
    folded.to_empty(device="cpu")
    assert kept() == []
