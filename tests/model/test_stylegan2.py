"""A model that begins as StyleGAN2, against a StyleGAN2 that is written out here from the paper."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gpen_nodes import ArchitectureError, Gpen, GpenConfig
from gpen_nodes.model.encoders import ConvEncoder, EncoderStage
from gpen_nodes.model.layers import StyledConv
from gpen_nodes.model.stylegan2 import init_from_stylegan2

STYLE, MAPPING = 24, 3
WIDTHS = {4: 16, 8: 16, 16: 16, 32: 16, 64: 16, 128: 8}  # narrow 1/32, multiplier 2


def stylegan2(size: int = 128) -> dict[str, Tensor]:
    """Random weights, biases and noise strengths included, under rosinality's names."""
    chance = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def draw(name: str, *shape: int) -> None:
        state[name] = torch.randn(shape, generator=chance)

    def convolution(name: str, inputs: int, outputs: int, kernel: int) -> None:
        draw(f"{name}.conv.weight", 1, outputs, inputs, kernel, kernel)
        draw(f"{name}.conv.modulation.weight", inputs, STYLE)
        draw(f"{name}.conv.modulation.bias", inputs)
        if kernel == 3:
            draw(f"{name}.noise.weight", 1)
            draw(f"{name}.activate.bias", outputs)
        else:
            draw(f"{name}.bias", 1, 3, 1, 1)

    tap = torch.tensor([1.0, 3, 3, 1])
    kernel = torch.outer(tap, tap) / 16  # as stored: with gain 4
    for n in range(1, MAPPING + 1):
        draw(f"style.{n}.weight", STYLE, STYLE)
        state[f"style.{n}.weight"] *= 100  # StyleGAN2's mapping learns at a hundredth of the rate
        draw(f"style.{n}.bias", STYLE)
    draw("input.input", 1, WIDTHS[4], 4, 4)
    convolution("conv1", WIDTHS[4], WIDTHS[4], 3)
    convolution("to_rgb1", WIDTHS[4], 3, 1)
    draw("noises.noise_0", 1, 1, 4, 4)
    for k in range(int(math.log2(size)) - 2):
        coarse, fine = WIDTHS[2 ** (k + 2)], WIDTHS[2 ** (k + 3)]
        convolution(f"convs.{2 * k}", coarse, fine, 3)
        state[f"convs.{2 * k}.conv.blur.kernel"] = kernel
        convolution(f"convs.{2 * k + 1}", fine, fine, 3)
        convolution(f"to_rgbs.{k}", fine, 3, 1)
        state[f"to_rgbs.{k}.upsample.kernel"] = kernel
        for n in (1, 2):
            draw(f"noises.noise_{2 * k + n}", 1, 1, 2 ** (k + 3), 2 ** (k + 3))
    return state


def spread(x: Tensor) -> Tensor:
    """Zeros between the pixels: H to 2 H - 1."""
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2] - 1, 2 * x.shape[3] - 1)
    out[:, :, ::2, ::2] = x
    return out


def filtered(x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """Each channel by [1, 3, 3, 1] in both directions, with the gain of four that upsampling takes."""
    tap = torch.tensor([1, 3, 3, 1], dtype=x.dtype) / 4
    flat = F.pad(x, padding).reshape(
        -1, 1, x.shape[2] + padding[2] + padding[3], x.shape[3] + padding[0] + padding[1]
    )
    flat = F.conv2d(F.conv2d(flat, tap.view(1, 1, 4, 1)), tap.view(1, 1, 1, 4))
    return flat.reshape(*x.shape[:2], *flat.shape[2:])


def convolved(p: dict[str, Tensor], name: str, x: Tensor, w: Tensor, *, up: bool = False) -> Tensor:
    """Weights scaled by the style and then to unit length, for each sample (section 2.2)."""
    weight = p[f"{name}.conv.weight"][0]
    _, inputs, k, _ = weight.shape
    scale = w @ p[f"{name}.conv.modulation.weight"].T / math.sqrt(STYLE) + p[f"{name}.conv.modulation.bias"]
    pictures = []
    for picture, s in zip(x, scale, strict=True):
        own = weight / math.sqrt(inputs * k * k) * s.view(1, -1, 1, 1)
        if k == 3:
            own = own / torch.sqrt(own.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8)
        if up:
            picture = F.conv2d(F.pad(spread(picture[None]), (2, 2, 2, 2)), own.flip(2, 3))
            pictures.append(filtered(picture, (1, 1, 1, 1)))
        else:
            pictures.append(F.conv2d(picture[None], own, padding=k // 2))
    return torch.cat(pictures)


def styled(p: dict[str, Tensor], name: str, x: Tensor, w: Tensor, *, up: bool = False) -> Tensor:
    x = convolved(p, name, x, w, up=up) + p[f"{name}.activate.bias"].view(1, -1, 1, 1)
    return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def synthesis(state: dict[str, Tensor], w: Tensor) -> Tensor:
    """StyleGAN2 without noise, in double precision (Karras et al. 2020, figure 2d and skip outputs)."""
    p, w = {name: tensor.double() for name, tensor in state.items()}, w.double()
    x = styled(p, "conv1", p["input.input"].expand(len(w), -1, -1, -1), w)
    rgb = convolved(p, "to_rgb1", x, w) + p["to_rgb1.bias"]
    for k in range(sum(bool(re.fullmatch(r"to_rgbs\.\d+\.bias", name)) for name in p)):
        x = styled(p, f"convs.{2 * k}", x, w, up=True)
        x = styled(p, f"convs.{2 * k + 1}", x, w)
        rgb = (
            filtered(spread(rgb), (2, 2, 2, 2)) + convolved(p, f"to_rgbs.{k}", x, w) + p[f"to_rgbs.{k}.bias"]
        )
    return rgb


def mapping(state: dict[str, Tensor], z: Tensor) -> Tensor:
    x = z.double() / z.double().square().mean(dim=1, keepdim=True).sqrt()
    for n in range(1, MAPPING + 1):
        weight, bias = state[f"style.{n}.weight"].double(), state[f"style.{n}.bias"].double()
        x = 0.01 / math.sqrt(STYLE) * x @ weight.T + 0.01 * bias
        x = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)
    return x


def features(config: GpenConfig, batch: int, strength: float) -> dict[int, Tensor]:
    chance = torch.Generator().manual_seed(1)
    return {r: strength * torch.randn(batch, c, r, r, generator=chance) for r, c in config.widths.items()}


@pytest.mark.parametrize("size", [64, 128])
@torch.no_grad()
def test_the_generator_starts_as_stylegan2_whatever_the_encoder_gives(size):
    state = stylegan2(size)
    model, _ = init_from_stylegan2(state)
    assert model.config == GpenConfig(size, size, 1 / 32, 2, style_dim=STYLE, mapping_depth=MAPPING)
    z = torch.randn(2, STYLE, generator=torch.Generator().manual_seed(2))
    w = model.mapper(z)
    torch.testing.assert_close(w.double(), mapping(state, z), atol=1e-5, rtol=1e-5)
    expected = synthesis(state, w)
    for strength in (0.0, 3.0):
        found = model.generator(w, features(model.config, 2, strength)).double()
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_training_reaches_the_features_and_then_the_encoder():
    model, _ = init_from_stylegan2(stylegan2(64))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.rand(1, 3, 64, 64)).square().mean().backward()
        optimizer.step()
    assert cast("StyledConv", model.generator.convs[3]).conv.weight[:, :, WIDTHS[16] :].abs().max() > 0
    for stage in cast("Iterable[EncoderStage]", cast("ConvEncoder", model.encoder).stages):
        assert stage.weight.grad is not None
        assert stage.weight.grad.abs().max() > 0


def test_says_what_became_of_each_tensor():
    state = stylegan2(64)
    model, fate = init_from_stylegan2(state)
    kinds = (fate.taken, fate.widened, fate.new)
    assert sorted(itertools.chain(*kinds)) == sorted(model.state_dict())
    assert {"mapper.1.weight", "generator.input.input", "generator.conv1.conv.weight"} <= set(fate.taken)
    assert {"generator.convs.0.conv.weight", "generator.conv1.activate.bias"} <= set(fate.widened)
    assert {"encoder.stages.0.weight", "generator.conv1.noise.weight"} <= set(fate.new)
    assert set(fate.left) == {name for name in state if "noise" in name}
    for name in fate.taken:
        own = state[name.replace("mapper.", "style.").removeprefix("generator.")]
        assert torch.equal(model.state_dict()[name], own), name
    said = str(fate)
    assert "mapper.1-3.weight" in said
    assert "left behind (18): conv1.noise.weight, noises.noise_0-8, convs.0-7.noise.weight" in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.clear(), "no StyleGAN2 generator .* found none"),
        (lambda s: s.pop("to_rgbs.2.bias"), "to_rgbs.2.bias is missing"),
        (
            lambda s: s.update({"conv1.conv.weight": torch.zeros(1, 9, 16, 3, 3)}),
            r"conv1.conv.weight has shape",
        ),
        (lambda s: s.update({"convs.2.conv.blur.kernel": torch.ones(4, 4)}), "another low-pass filter"),
        (
            lambda s: [s.update({n.replace("convs", "synthesis"): s.pop(n)}) for n in list(s)],
            "convert_weight.py",
        ),
    ],
)
def test_refusals(change, sentence):
    state = stylegan2(64)
    change(state)
    with pytest.raises(ArchitectureError, match=sentence):
        init_from_stylegan2(state)


def test_a_whole_gpen_is_not_taken_for_stylegan2():
    with pytest.raises(ArchitectureError, match="no StyleGAN2"):
        init_from_stylegan2(Gpen(GpenConfig(64, 64, 1 / 32, 1)).state_dict())
