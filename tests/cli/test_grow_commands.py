"""``grow`` and ``init-from-stylegan2``, as a user calls them."""

from __future__ import annotations

import pytest
import torch

from gpen_nodes import Checkpoint, Discriminator, DiscriminatorConfig, Gpen, GpenConfig
from gpen_nodes.checkpoints import read_checkpoint, write_checkpoint
from gpen_nodes.cli import main
from gpen_nodes.model.layers import downsample, upsample
from tests.figures import decibels
from tests.golden import recipe
from tests.model.test_stylegan2 import mapping, stylegan2, synthesis

CONV = GpenConfig(64, 64, 0.125, 1, style_dim=32, mapping_depth=2)
RESNET = GpenConfig(64, 64, 0.125, 1, style_dim=32, mapping_depth=2, encoder="resnet50")


def call(*words: object) -> int:
    return main([str(word) for word in words])


def save(path, config=CONV, layout=None, **args):
    torch.manual_seed(0)
    model = Gpen(config)
    write_checkpoint(Checkpoint(model.state_dict(), config, args), path, layout)
    return model


@pytest.mark.parametrize(
    ("config", "layout", "names", "found"),
    [
        (CONV, "flat", ("in.pth", "out.pth"), "flat"),
        (CONV, "bundle", ("in.pth", "out.pth"), "bundle"),
        (RESNET, "bundle", ("in.pth", "out.pth"), "bundle"),
        (RESNET, "bundle", ("in.pth", "out.safetensors"), "safetensors"),
        (CONV, "safetensors", ("in.safetensors", "out.pth"), "flat"),
    ],
)
@torch.no_grad()
def test_grow_keeps_the_function_and_the_layout(config, layout, names, found, tmp_path, capsys):
    source, target = (tmp_path / name for name in names)
    model = save(source, config, layout)
    assert call("grow", source, target, "--to", 256) == 0
    assert capsys.readouterr().out.startswith(f"{target}: GpenConfig(size=256, input_size=256,")
    grown = read_checkpoint(target)
    assert grown.layout == found
    x = recipe.picture(256)
    expected = upsample(upsample(model(downsample(downsample(x)))))
    assert decibels(Gpen.from_state_dict(grown.state)(x), expected) >= 100


def test_grow_doubles_when_it_is_not_told(tmp_path):
    save(tmp_path / "in.pth")
    assert call("grow", tmp_path / "in.pth", tmp_path / "out.pth") == 0
    assert read_checkpoint(tmp_path / "out.pth").config.size == 128


def test_grow_keeps_version_and_licence(tmp_path):
    save(tmp_path / "in.safetensors", version="GPEN-BFR-64", steps=7)
    assert call("grow", tmp_path / "in.safetensors", tmp_path / "out.safetensors") == 0
    grown = read_checkpoint(tmp_path / "out.safetensors")
    assert grown.version == "GPEN-BFR-64, grown to 128 px"
    assert "non-commercial" in grown.licence
    assert "steps" not in grown.args
    save(tmp_path / "in.safetensors")
    assert call("grow", tmp_path / "in.safetensors", tmp_path / "out.safetensors") == 0
    assert read_checkpoint(tmp_path / "out.safetensors").version == "unknown"


@torch.no_grad()
def test_init_takes_the_average_of_a_whole_stylegan2_checkpoint(tmp_path, capsys):
    state = stylegan2(64)
    latest = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    contents = {"g": latest, "g_ema": state, "d": {"x": torch.zeros(1)}, "latent_avg": torch.zeros(24)}
    torch.save(contents, tmp_path / "550000.pt")
    before = torch.get_rng_state()
    for name in ("a.pth", "b.pth"):
        assert call("init-from-stylegan2", tmp_path / "550000.pt", tmp_path / name) == 0
    assert torch.equal(torch.get_rng_state(), before)
    said = capsys.readouterr().out
    for what in (
        "taken as they are (",
        "taken, and widened",
        "new (",
        "left behind (18): conv1.noise.weight",
    ):
        assert what in said
    first, second = (read_checkpoint(tmp_path / name) for name in ("a.pth", "b.pth"))
    assert all(torch.equal(first.state[name], tensor) for name, tensor in second.state.items())
    model = Gpen.from_state_dict(first.state)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    z = model.encoder(picture)[0]
    expected = synthesis(state, mapping(state, z))
    assert (model(picture) - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["grow", "{here}/none.pth", "{out}"], "none.pth"),
        (["grow", "{here}/small.pth", "{out}", "--to", "100"], "A model of 64 px cannot grow to 100"),
        (["grow", "{here}/resnet.pth", "{out}", "--to", "4096"], "4096 px"),
        (["grow", "{here}/slim.pth", "{out}"], "too narrow to grow"),
        (["grow", "{here}/judge.pth", "{out}"], "discriminator"),
        (["init-from-stylegan2", "{here}/none.pt", "{out}"], "none.pt"),
        (["init-from-stylegan2", "{here}/small.pth", "{out}"], "This is no StyleGAN2 generator"),
    ],
)
def test_refusals(words, sentence, tmp_path, capsys):
    save(tmp_path / "small.pth", CONV)
    save(tmp_path / "resnet.pth", RESNET)
    save(tmp_path / "slim.pth", GpenConfig(64, 64, 1 / 32, 1, style_dim=32, mapping_depth=2))
    judge = Discriminator(DiscriminatorConfig(64, 1 / 16, 1))
    write_checkpoint(Checkpoint(judge.state_dict(), judge.config), tmp_path / "judge.pth")
    out = tmp_path / "out.pth"
    assert call(*(word.format(here=tmp_path, out=out) for word in words)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert not out.exists()


@torch.no_grad()
def test_grow_widens_at_the_same_size_and_both_at_once(tmp_path):
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    model = save(source)
    assert call("grow", source, target, "--narrow", 0.25) == 0
    wide = read_checkpoint(target)
    assert (wide.config.narrow, wide.config.size) == (0.25, 64)
    x = recipe.picture(64)
    assert decibels(Gpen.from_state_dict(wide.state)(x), model(x)) >= 100
    assert call("grow", source, target, "--narrow", 0.25, "--to", 128) == 0
    both = read_checkpoint(target)
    assert (both.config.narrow, both.config.size) == (0.25, 128)
    x = recipe.picture(128)
    assert decibels(Gpen.from_state_dict(both.state)(x), upsample(model(downsample(x)))) >= 100
