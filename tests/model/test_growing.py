"""A grown network is the old function between a down- and an upsampling."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest
import torch
import torch.nn.functional as F

from gpen_nodes import ArchitectureError, Gpen, GpenConfig, OptionError, grow
from gpen_nodes.model.layers import FIR, StyledConv, ToRgb, downsample, upsample
from tests.figures import decibels
from tests.golden import recipe

CONFIGS = {
    "conv, concatenated": GpenConfig(64, 64, 0.25, 1),
    "conv, added": GpenConfig(64, 64, 0.25, 1, concat=False),
    "ResNet-50": GpenConfig(64, 64, 0.25, 1, mapping_depth=2, encoder="resnet50"),
}


def model_with_biases(config: GpenConfig) -> Gpen:
    torch.manual_seed(0)
    model = Gpen(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def test_downsampling_is_the_low_pass_and_every_second_pixel():
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low = F.conv2d(F.pad(x, (1, 1, 1, 1)), torch.tensor(FIR).double().expand(3, 1, 4, 4), groups=3)
    torch.testing.assert_close(downsample(x), low[:, :, ::2, ::2])


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_starts_as_the_same_function_twice_over(name):
    model = model_with_biases(CONFIGS[name])
    for size in (128, 256):
        grown = grow(model)
        x = recipe.picture(size, batch=2)
        assert grown.config.size == grown.config.input_size == size
        assert GpenConfig.from_state_dict(grown.state_dict()) == grown.config
        assert decibels(grown(x), upsample(model(downsample(x)))) >= 100
        model = grown


@torch.no_grad()
def test_grows_to_a_size_by_doubling():
    model = model_with_biases(CONFIGS["conv, concatenated"])
    grown = grow(model, to=256)
    assert grown.config.size == 256
    x = recipe.picture(256)
    assert decibels(grown(x), upsample(upsample(model(downsample(downsample(x)))))) >= 100


@pytest.mark.parametrize("to", [32, 64, 96, 192])
def test_a_size_that_is_no_doubling_is_refused(to):
    with pytest.raises(OptionError, match=f"64 px cannot grow to {to}"):
        grow(Gpen(GpenConfig(64, 64, 0.125, 1)), to)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_a_super_resolving_model_keeps_its_input(name):
    model = model_with_biases(dataclasses.replace(CONFIGS[name], size=128))
    grown = grow(model)
    assert (grown.config.input_size, grown.config.size) == (64, 256)
    assert GpenConfig.from_state_dict(grown.state_dict()) == grown.config
    x = recipe.picture(64, batch=2)
    assert decibels(grown(x), upsample(model(x))) >= 100


def test_the_new_layers_are_copies_that_can_learn():
    model = model_with_biases(CONFIGS["conv, concatenated"])
    grown = grow(model)
    old, new = (cast("StyledConv", network.generator.convs[-1]).conv.weight for network in (model, grown))
    kept = new.shape[2] // 2
    assert torch.equal(new[:, :, :kept], old[:, : new.shape[1], :kept])
    half = old.shape[2] // 2
    assert torch.equal(new[:, :, kept:], old[:, : new.shape[1], half : half + kept])
    grown(recipe.picture(128)).square().mean().backward()
    gradient = cast("ToRgb", grown.generator.to_rgbs[-1]).conv.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0


def test_the_old_model_is_not_touched():
    model = Gpen(GpenConfig(64, 64, 0.25, 1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in grow(model).parameters():
            parameter.add_(1)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_too_large_and_too_narrow_are_refused():
    with torch.device("meta"):
        large = Gpen(GpenConfig(2048, 2048, 0.5, 1))
    with pytest.raises(ArchitectureError, match="4096"):
        grow(large)
    with pytest.raises(ArchitectureError, match="too narrow"):
        grow(Gpen(GpenConfig(64, 64, 1 / 32, 1)))
