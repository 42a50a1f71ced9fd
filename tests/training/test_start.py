"""What a run begins with, and how fast each part of it learns."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from gpen_nodes.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from gpen_nodes.errors import OptionError
from gpen_nodes.model import Gpen, GpenConfig
from gpen_nodes.model.growing import grow
from gpen_nodes.training import TrainingConfig
from gpen_nodes.training.start import make_optimizer, set_pace, start_networks
from tests.training.small import PLAIN, assert_equal, run, state_of


def test_growing(faces, tmp_path):
    config = dataclasses.replace(PLAIN, narrow=0.125)
    with torch.random.fork_rng():
        small = Gpen(GpenConfig(64, 64, 0.125, 1, style_dim=32, mapping_depth=2))
    start = tmp_path / "small.safetensors"
    write_checkpoint(Checkpoint(small.state_dict(), small.config), start)
    with pytest.raises(OptionError, match="64 px in and 64 px out, and the run 256 px; expected"):
        run(dataclasses.replace(config, size=256), faces, tmp_path / "256", start=start)
    assert not (tmp_path / "256").exists()
    grown = run(dataclasses.replace(config, size=128, steps=1), faces, tmp_path / "128", start=start)
    assert (grown.config.size, grown.config.style_dim) == (128, 32)
    assert read_checkpoint(tmp_path / "128" / "model.safetensors").config.size == 128
    same = run(dataclasses.replace(config, steps=1), faces, tmp_path / "64", start=start)
    assert same.config == small.config


def test_a_start_model_that_enlarges_is_refused(faces, tmp_path):
    model = Gpen(GpenConfig(128, 64, 0.125, 1, style_dim=32, mapping_depth=2))
    start = tmp_path / "start.safetensors"
    write_checkpoint(Checkpoint(model.state_dict(), model.config), start)
    with pytest.raises(OptionError, match="64 px in and 128 px out"):
        run(dataclasses.replace(PLAIN, size=128), faces, tmp_path / "run", start=start)


@pytest.mark.parametrize("encoder", ["conv", "resnet50"])
def test_old_layers_of_a_grown_model_learn_at_their_own_rate(encoder):
    depth = 2
    small = Gpen(GpenConfig(64, 64, 0.125, 1, style_dim=32, mapping_depth=depth, encoder=encoder))
    grown = grow(small)
    config = TrainingConfig(size=128, old_size=64, old_rate=0.1, learning_rate=1e-3, drop_at=5, drop_to=1e-4)
    optimizer = make_optimizer(grown, config)
    new, old = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    names = {id(p): name for name, p in grown.named_parameters()}
    assert new | old == set(names)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-3, 1e-4])
    set_pace(optimizer, config, 5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-4, 1e-5])
    fresh = {names[p] for p in new}
    finest = ("generator.convs.8.", "generator.convs.9.", "generator.to_rgbs.4.")
    entry = ("encoder.stages.0.", "encoder.stages.1.") if encoder == "conv" else ("encoder.lateral.128.",)
    assert fresh == {name for name in names.values() if name.startswith(finest + entry)}


def test_without_an_old_size_all_learn_alike():
    optimizer = make_optimizer(Gpen(GpenConfig(64, 64, 0.125, 1)), TrainingConfig(size=64))
    assert len(optimizer.param_groups) == 1


def test_a_new_model_may_have_the_bundles_encoder():
    model, discriminator = start_networks(
        TrainingConfig(size=64, narrow=0.125, encoder="resnet50", mapping_depth=2)
    )
    assert (model.config.encoder, discriminator) == ("resnet50", None)


def test_the_rate_drops_in_a_run(faces, tmp_path):
    """With a rate of 0 from step 2 on the weights of step 2 stay."""
    run(dataclasses.replace(PLAIN, steps=2), faces, tmp_path / "short")
    run(dataclasses.replace(PLAIN, steps=4, drop_at=2, drop_to=0), faces, tmp_path / "long")
    assert_equal(*(state_of(tmp_path / name)["model"] for name in ("short", "long")))
