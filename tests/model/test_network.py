"""The network against figures that GPEN's own code gave for the same weights and pictures."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import cast

import pytest
import torch

from gpen_nodes import ArchitectureError, Discriminator, DiscriminatorConfig, Gpen, GpenConfig
from gpen_nodes.model.layers import StyledConv
from gpen_nodes.model.names import to_module_names, to_released_names
from tests.figures import decibels
from tests.golden import recipe

GOLDEN = json.loads((Path(recipe.__file__).parent / "network.json").read_text())


def released_shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    released = to_released_names(module.state_dict())
    return {name: tuple(t.shape) for name, t in released.items() if not name.endswith("kernel")}


def golden_network(case: dict) -> Gpen:
    config = GpenConfig(case["size"], case["size"], case["narrow"], case["multiplier"], case["concat"])
    return Gpen.from_state_dict(recipe.weights(released_shapes(Gpen(config))))


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.startswith("gpen")])
def test_agrees_with_the_original(name):
    case = GOLDEN[name]
    with torch.no_grad():
        ours = recipe.figures(golden_network(case)(recipe.picture(case["size"])))
    assert decibels(torch.tensor(ours), torch.tensor(case["figures"])) >= 100


def test_discriminator_agrees_with_the_original():
    case = GOLDEN["discriminator-64"]
    ours = Discriminator(DiscriminatorConfig(case["size"], case["narrow"], case["multiplier"]))
    ours.load_state_dict(recipe.weights({n: tuple(t.shape) for n, t in ours.state_dict().items()}))
    with torch.no_grad():
        logits = ours(recipe.picture(case["size"], batch=8)).flatten()
    torch.testing.assert_close(logits, torch.tensor(case["figures"]), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(
    "GPEN_REFERENCE" not in os.environ, reason="GPEN_REFERENCE names no checkout of yangxy/GPEN"
)
@pytest.mark.parametrize(("size", "multiplier", "narrow"), [(256, 1, 0.5), (512, 2, 1)])
def test_whole_output_agrees_with_a_checkout_of_the_original(size, multiplier, narrow, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(os.environ["GPEN_REFERENCE"]) / "face_model"))
    original = pytest.importorskip("gpen_model").FullGenerator(
        size, 512, 8, multiplier, narrow=narrow, device="cpu"
    )
    ours = golden_network({"size": size, "multiplier": multiplier, "narrow": narrow, "concat": True})
    original.load_state_dict(to_released_names(ours.state_dict()))
    with torch.no_grad():
        x = recipe.picture(size)
        assert decibels(ours(x), original(x)[0]) >= 100
    sys.modules.pop("gpen_model", None)


@pytest.mark.skipif(
    "GPEN_REFERENCE" not in os.environ, reason="GPEN_REFERENCE names no checkout of yangxy/GPEN"
)
def test_the_super_resolving_variant_agrees_with_the_original_on_the_same_noise(monkeypatch):
    """Which draws it anew for each call; ours comes from a seed, the same for every face."""
    monkeypatch.syspath_prepend(str(Path(os.environ["GPEN_REFERENCE"]) / "face_model"))
    module = pytest.importorskip("gpen_model")
    original = module.FullGenerator_SR(64, 256, 512, 8, 1, narrow=0.25, device="cpu")
    ours = Gpen(GpenConfig(256, 64, 0.25, 1))
    original.load_state_dict(to_released_names(ours.state_dict()))
    own, drawn = module.NoiseInjection.forward, []

    def forward(self, image, noise=None):
        if noise is None:
            drawn.append(image.shape[2])
            noise = Gpen.noise(image.shape[1], image.shape[2], like=image)
        return own(self, image, noise)

    monkeypatch.setattr(module.NoiseInjection, "forward", forward)
    with torch.no_grad():
        x = recipe.picture(64)
        assert decibels(ours(x), original(x)[0]) >= 100
    assert drawn == [128, 128, 256, 256]
    sys.modules.pop("gpen_model", None)


def test_a_batch_is_its_faces_one_by_one():
    network = golden_network({"size": 64, "multiplier": 1, "narrow": 0.125, "concat": True})
    x = recipe.picture(64, batch=3)
    with torch.no_grad():
        alone = torch.cat([network(face) for face in x.split(1)])
        assert decibels(network(x), alone) >= 100


def test_the_super_resolving_variant_repeats_itself_and_uses_its_noise():
    network = Gpen(GpenConfig(256, 64, 0.125, 1))
    x = recipe.picture(64, batch=2)
    with torch.no_grad():
        first = network(x)
        assert first.shape == (2, 3, 256, 256)
        assert torch.equal(first, network(x))
        cast("StyledConv", network.generator.convs[-1]).noise.weight.zero_()
        assert not torch.equal(first, network(x))


def test_the_global_random_state_is_left_alone():
    network = Gpen(GpenConfig(128, 64, 0.125, 1))
    before = torch.get_rng_state()
    with torch.no_grad():
        network(recipe.picture(64))
    assert torch.equal(before, torch.get_rng_state())


# Every row of the table of released checkpoints, and what only this package makes.
ROWS = {
    "GPEN-BFR-256": GpenConfig(256, 256, 0.5, 1),
    "GPEN-BFR-512": GpenConfig(512, 512, 1, 2),
    "GPEN-BFR-1024": GpenConfig(1024, 1024, 1, 2),
    "GPEN-BFR-2048": GpenConfig(2048, 2048, 1, 2),
    "features added": GpenConfig(64, 64, 0.25, 1, concat=False),
    "super-resolving": GpenConfig(512, 128, 0.5, 2),
    "fractional widths": GpenConfig(256, 256, 0.375, 1.5),
    "small style": GpenConfig(128, 128, 0.25, 1, style_dim=96, mapping_depth=3),
    "ResNet-50": GpenConfig(512, 512, 0.5, 2, mapping_depth=2, encoder="resnet50"),
    "grown ResNet-50": GpenConfig(256, 256, 0.25, 1, mapping_depth=2, encoder="resnet50", octaves=1),
}


@pytest.mark.parametrize("row", ROWS)
def test_config_is_read_from_shapes_alone(row):
    with torch.device("meta"):
        state = Gpen(ROWS[row]).state_dict()
    assert GpenConfig.from_state_dict(state) == ROWS[row]
    assert GpenConfig.from_state_dict(dict(sorted(state.items(), reverse=True))) == ROWS[row]


@pytest.mark.parametrize("row", ["GPEN-BFR-256", "super-resolving", "features added"])
def test_released_names_and_back(row):
    state = Gpen(ROWS[row]).state_dict()
    released = to_released_names(state)
    assert "generator.convs.0.conv.blur.kernel" in released
    assert "ecd1.0.0.kernel" in released
    assert GpenConfig.from_state_dict(released) == ROWS[row]
    back = to_module_names(released)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_sizes_of_the_released_files_match_the_facts():
    """fp32 megabytes that were worked out from the original's constructor arguments, filters included."""
    for row, megabytes in {"GPEN-BFR-256": 75.5, "GPEN-BFR-512": 284.0, "GPEN-BFR-2048": 285.2}.items():
        with torch.device("meta"):
            state = Gpen(ROWS[row]).state_dict()
        assert sum(t.numel() for t in state.values()) * 4 / 1e6 == pytest.approx(megabytes, abs=0.06)


@pytest.mark.parametrize("config", [DiscriminatorConfig(256, 0.5, 1), DiscriminatorConfig(512, 1, 2)])
def test_discriminator_config_is_read_from_shapes_alone(config):
    with torch.device("meta"):
        state = Discriminator(config).state_dict()
    assert DiscriminatorConfig.from_state_dict(state) == config


def _without(state, name):
    return {n: t for n, t in state.items() if n != name}


def _refusals():
    state = Gpen(GpenConfig(64, 64, 0.125, 1)).state_dict()
    with torch.device("meta"):
        judge = Discriminator(DiscriminatorConfig(256, 0.5, 1)).state_dict()
    kernel = {"generator.convs.0.conv.blur.kernel": torch.ones(4, 4)}
    wide = {"generator.convs.3.conv.weight": torch.zeros(1, 64, 128, 5, 5)}
    return {
        "a discriminator": (judge, "discriminator.*256 px"),
        "nothing": ({}, "not a GPEN.*no tensors"),
        "another network": ({"conv_first.weight": torch.zeros(3)}, "not a GPEN.*conv_first"),
        "no encoder": ({n: t for n, t in state.items() if "encoder" not in n}, "no encoder"),
        "cut short": (_without(state, "generator.convs.6.conv.weight"), r"convs\.6"),
        "one tensor missing": (_without(state, "generator.to_rgbs.1.bias"), r"to_rgbs\.1\.bias is missing"),
        "another shape": (state | wide, r"convs\.3\.conv\.weight has shape"),
        "one tensor more": (state | {"generator.extra": torch.zeros(1)}, "extra is unknown"),
        "another filter": (to_released_names(state) | kernel, "low-pass filter"),
    }


@pytest.mark.parametrize("case", _refusals())
def test_refuses_what_is_no_gpen(case):
    state, sentence = _refusals()[case]
    with pytest.raises(ArchitectureError, match=sentence):
        Gpen.from_state_dict(state)


def test_sizes_out_of_range_are_refused():
    with pytest.raises(ArchitectureError, match="4096"):
        GpenConfig(4096, 4096)
    with pytest.raises(ArchitectureError, match="not larger"):
        GpenConfig(64, 128)
