"""The folded network is the module: in every shape, on every path, in every dtype as far as that reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest
import torch
from torch import Tensor

from gpen_nodes.inference import hardware
from gpen_nodes.inference.folded import bands, encoders, fold, kernels, layers
from gpen_nodes.inference.folded import network as whole
from gpen_nodes.inference.folded.bands import Stream
from gpen_nodes.inference.folded.network import Level
from gpen_nodes.model import Gpen, GpenConfig
from tests.figures import decibels


def random_network(config: GpenConfig) -> Gpen:
    """Every parameter random, biases and gains too, so that none goes unnoticed."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = Gpen(config)
        for name, parameter in network.named_parameters():
            if name.endswith("noise.weight"):
                parameter.data.uniform_(0.5, 1.5)
            elif name.endswith("bias") and "modulation" not in name:
                parameter.data.normal_(0, 0.2)
    return network.requires_grad_(False)


CONFIGS = {
    "concat": GpenConfig(128, 128, 0.0625, 2, style_dim=64, mapping_depth=2),
    "add": GpenConfig(128, 128, 0.0625, 2, concat=False, style_dim=64, mapping_depth=2),
    "256 px": GpenConfig(256, 256, 0.0625, 1, style_dim=64, mapping_depth=2),
    "wide enough for Winograd": GpenConfig(64, 64, 0.5, 1, style_dim=64, mapping_depth=2),
    "larger out than in": GpenConfig(128, 64, 0.0625, 1, style_dim=64, mapping_depth=2),
    "resnet50": GpenConfig(64, 64, 0.0625, 1, style_dim=64, mapping_depth=2, encoder="resnet50"),
}


@pytest.fixture(params=list(CONFIGS.values()), ids=list(CONFIGS))
def network(request) -> Gpen:
    return random_network(request.param)


def picture(network: Gpen, batch: int = 1) -> Tensor:
    size = network.config.input_size
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_same_function_as_the_module(network):
    image = picture(network, 2)
    folded = fold(network)(image)
    assert folded.dtype == torch.float32
    assert decibels(folded, network(image)) > 100


def test_same_without_onednn_winograd_and_channels_last(network, monkeypatch):
    image = picture(network)
    monkeypatch.setattr(hardware, "has_fused_conv2d", lambda dtype: False)
    monkeypatch.setattr(layers, "winograd_form", lambda *layer: None)
    for module in (kernels, bands, encoders, layers, whole):
        monkeypatch.setattr(module, "memory_format", lambda device: torch.contiguous_format)
    assert decibels(fold(network)(image), network(image)) > 100


@pytest.mark.parametrize("made_again", [1, 1024])
@pytest.mark.parametrize("budget", [1 << 12, 1 << 16])
def test_same_in_narrow_bands(network, monkeypatch, budget, made_again):
    image = picture(network)
    monkeypatch.setattr(bands, "BAND_BYTES", budget)
    monkeypatch.setattr(encoders, "MADE_AGAIN", made_again)
    assert decibels(fold(network)(image), network(image)) > 100


def test_same_for_faces_of_one_batch_as_a_gpu_takes_them(network, monkeypatch):
    image = picture(network, 3)
    expected = network(image)
    folded = fold(network)
    code, features = folded.encoder(image, lambda: None)
    for size, width in network.config.widths.items():
        if size > network.config.input_size:
            noise = Gpen.noise(width, size, like=image)
            features[size] = lambda first, last, noise=noise: noise[:, :, first:last]
    x, rgb = bands.stored(folded.start.expand(3, -1, -1, -1)), None
    for level in cast("Iterable[Level]", folded.levels):
        level.conv.form = None
        x, rgb = level.bind(x, rgb, folded.mapper(code), features[level.size], lambda: None)
    cast("Stream", x).drain()
    assert rgb is not None
    assert decibels(rgb, expected) > 100


@pytest.mark.parametrize("amx", [False, True])
def test_bf16_is_close(network, monkeypatch, amx):
    for module in (kernels, layers):
        monkeypatch.setattr(module, "has_amx", lambda: amx)
    image = picture(network)
    exact = network(image)
    assert decibels(fold(network, torch.bfloat16)(image) / exact.std(), exact / exact.std()) > 35


def test_folding_changes_no_weight_and_moves_like_a_module(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded = fold(network)
    image = picture(network)
    first = folded(image)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(folded.to("cpu")(image), first)
    assert {buffer.device.type for buffer in folded.to("meta").buffers()} == {"meta"}


def test_what_is_computed_once_outlasts_a_move_to_where_it_is(monkeypatch):
    """Hosts place the network before each face."""
    network = random_network(CONFIGS["wide enough for Winograd"])
    folded, computed = fold(network), []
    once = layers.winograd_weight
    monkeypatch.setattr(layers, "winograd_weight", lambda *args: computed.append(1) or once(*args))
    folded(picture(network))
    count = len(computed)
    folded.to("cpu")(picture(network))
    assert count == len(computed) > 0
    folded.double().float()(picture(network))
    assert len(computed) == 2 * count


def test_an_interrupt_comes_through(network):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fold(network)(picture(network), stop)
