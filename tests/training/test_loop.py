"""The real loop, small: a few made-up faces, four steps."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes.backbones import DistilledVgg19
from gpen_nodes.checkpoints import read_checkpoint
from gpen_nodes.errors import (
    CheckpointError,
    DegenerateOutputError,
    ImageError,
    MissingWeightsError,
    OptionError,
)
from gpen_nodes.facesets import FaceStore
from gpen_nodes.model import GpenConfig
from gpen_nodes.training import loop, read_config, train
from gpen_nodes.training import stage as stage_module
from gpen_nodes.training.losses import Networks, Objective, adversarial
from tests.training.small import CONFIG, PLAIN, assert_equal, run, state_of


@pytest.fixture(scope="session")
def whole(faces, tmp_path_factory) -> Path:
    """The folder of a run of four steps that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(CONFIG, faces, folder)
    return folder


def test_the_files_of_a_run(whole):
    assert {path.name for path in whole.iterdir()} == {
        *("config.toml", "losses.csv", "state.pt", "best.safetensors", "model.safetensors"),
        *("samples-000002.png", "samples-000004.png"),
    }
    saved = read_config(whole / "config.toml")
    assert dataclasses.replace(saved, faces="", run="") == CONFIG
    networks = {"model", "ema", "optimizer", "discriminator", "discriminator_optimizer"}
    assert set(state_of(whole)) == networks | {"step", "best", "data"}
    with Image.open(whole / "samples-000004.png") as sheet:
        assert sheet.size == (64, 3 * 64)  # One of nine faces is kept out of training.


def test_every_term_is_logged(whole):
    with (whole / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    for row in rows:
        assert all(np.isfinite(float(value)) for value in row.values()), row
        assert float(row["pixel"]) > 0.05
        assert float(row["r1"]) > 0


def test_the_model_that_is_written(whole):
    checkpoint = read_checkpoint(whole / "model.safetensors")
    assert checkpoint.config == GpenConfig(64, 64, 0.0625, 1, style_dim=32, mapping_depth=2)
    state = state_of(whole)
    assert_equal(checkpoint.state, dict(state["ema"]))
    assert not torch.equal(checkpoint.state["generator.input.input"], state["model"]["generator.input.input"])
    # How it was trained, but nothing that the network's own config says.
    assert checkpoint.args["steps"] == 4
    assert checkpoint.args["recipe"]["scale"] == [2, 16]
    assert not checkpoint.args.keys() & dataclasses.asdict(checkpoint.config).keys()
    assert str(whole) not in str(checkpoint.args)
    assert (checkpoint.version, checkpoint.licence) == ("unknown", "unknown")


def test_the_average_follows(faces, tmp_path):
    run(dataclasses.replace(PLAIN, steps=1), faces, tmp_path)
    first = state_of(tmp_path)["ema"]
    run(dataclasses.replace(PLAIN, steps=2), faces, tmp_path)
    state = state_of(tmp_path)
    decay = min(PLAIN.ema_decay, (1 + 2) / (10 + 2))
    for name, weight in state["model"].items():
        expected = decay * first[name] + (1 - decay) * weight
        torch.testing.assert_close(state["ema"][name], expected, atol=1e-6, rtol=1e-5)


def test_windows_move_from_step_to_step(faces, tmp_path, monkeypatch):
    drawn = []

    def windows(size, generator, *batches):
        drawn.append(tuple(generator.get_state().tolist()))
        return real(size, generator, *batches)

    real = adversarial.random_windows
    monkeypatch.setattr(adversarial, "random_windows", windows)
    run(CONFIG, faces, tmp_path)
    assert len(set(drawn)) == 8  # one for each network


def test_lines_of_steps_that_the_state_does_not_know_are_written_anew(whole, faces, tmp_path):
    run(dataclasses.replace(CONFIG, steps=3), faces, tmp_path)
    shutil.copy(whole / "losses.csv", tmp_path)  # as a run leaves it that is killed between two states
    run(CONFIG, faces, tmp_path)
    rows = (tmp_path / "losses.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "4"]


@pytest.fixture
def interrupt_at(monkeypatch):
    """Break off a run in the middle of a step: after both backward passes, or within an optimiser's step."""

    def at(step: int, *, within_the_update: bool = False) -> None:
        seen = {"steps": 0}

        def count() -> bool:
            seen["steps"] += 1
            return seen["steps"] == step

        if within_the_update:
            real_adam = torch.optim.Adam.step

            def adam(self, *arguments, **more):
                if len(self.param_groups[0]["params"]) > 40 and count():  # the larger network's
                    os.kill(os.getpid(), signal.SIGINT)
                return real_adam(self, *arguments, **more)

            monkeypatch.setattr(torch.optim.Adam, "step", adam)
        else:
            real_average = stage_module.Stage._average_gradients

            def average(self, network):
                real_average(self, network)
                if count():
                    raise KeyboardInterrupt

            monkeypatch.setattr(stage_module.Stage, "_average_gradients", average)

    # What a shell starts in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield at
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("within_the_update", "done"), [(False, 2), (True, 3)])
def test_interrupted_and_resumed_is_the_same_to_the_last_bit(
    whole, faces, tmp_path, monkeypatch, interrupt_at, within_the_update, done
):
    folder = tmp_path / "run"
    interrupt_at(3, within_the_update=within_the_update)
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, faces, folder)
    assert state_of(folder)["step"] == done
    assert not (folder / "model.safetensors").exists()
    monkeypatch.undo()
    run(CONFIG, faces, folder)
    assert_equal(state_of(folder), state_of(whole))
    rows = (folder / "losses.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "4"]


def test_a_projected_discriminator_is_resumed_to_the_last_bit(faces, tmp_path, monkeypatch, interrupt_at):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save({"model": DistilledVgg19().state_dict()}, tmp_path / "vgg.pth")
    config = dataclasses.replace(
        CONFIG, discriminator="projected", networks=Networks(vgg19=str(tmp_path / "vgg.pth"))
    )
    run(config, faces, tmp_path / "whole")
    interrupt_at(3)
    with pytest.raises(KeyboardInterrupt):
        run(config, faces, tmp_path / "broken")
    monkeypatch.undo()
    run(config, faces, tmp_path / "broken")
    assert_equal(state_of(tmp_path / "broken"), state_of(tmp_path / "whole"))


def test_a_shorter_run_made_longer_is_the_same_to_the_last_bit(whole, faces, tmp_path):
    run(dataclasses.replace(CONFIG, steps=2), faces, tmp_path)
    assert state_of(tmp_path)["step"] == 2
    run(CONFIG, faces, tmp_path)
    assert_equal(state_of(tmp_path), state_of(whole))
    run(CONFIG, faces, tmp_path)  # nothing is left to do
    assert_equal(state_of(tmp_path), state_of(whole))
    ours, theirs = (read_checkpoint(folder / "model.safetensors").state for folder in (tmp_path, whole))
    assert_equal(ours, theirs)


def test_an_error_in_the_middle_keeps_the_completed_steps(faces, tmp_path, monkeypatch):
    calls = []

    def failing(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return real(self, *arguments)

    real = Objective.forward
    monkeypatch.setattr(Objective, "forward", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        run(PLAIN, faces, tmp_path)
    assert state_of(tmp_path)["step"] == 1


def test_a_full_disk_ends_no_run_and_leaves_the_old_state(faces, tmp_path, monkeypatch, capsys):
    run(dataclasses.replace(PLAIN, steps=1), faces, tmp_path)
    before = (tmp_path / "state.pt").read_bytes()

    def full(self, data):
        Path.open(self, "wb").write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match=r"after step 4 .* No space left .* earlier step stays there\."):
        run(PLAIN, faces, tmp_path)
    assert (tmp_path / "state.pt").read_bytes() == before
    said = capsys.readouterr().err
    assert "Step 2: The state after step 2 cannot be written" in said
    assert said.count("Training goes on.") == 4  # a sheet and a state, twice
    assert not list(tmp_path.glob(".gpen*"))


def test_a_folder_that_cannot_be_written_is_told_before_the_run(faces, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match=r"file.run cannot be written to: Not a directory"):
        run(PLAIN, faces, tmp_path / "file" / "run")


def test_without_adversarial_loss_there_is_no_discriminator(faces, tmp_path):
    run(dataclasses.replace(PLAIN, steps=2), faces, tmp_path)
    assert set(state_of(tmp_path)) == {"model", "ema", "optimizer", "step", "best", "data"}
    with (tmp_path / "losses.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["adversarial"] == row["discriminator"] == row["r1"] == row["identity"] == ""


def test_a_run_may_go_on_with_a_discriminator_and_another_pace(faces, tmp_path):
    run(dataclasses.replace(PLAIN, steps=1), faces, tmp_path)
    run(dataclasses.replace(CONFIG, steps=2, learning_rate=1e-4), faces, tmp_path)
    state = state_of(tmp_path)
    assert state["step"] == 2
    for name in ("optimizer", "discriminator_optimizer"):
        group = state[name]["param_groups"][0]
        assert (group["lr"], group["betas"]) == (1e-4, (0.0, 0.99))


def test_the_same_seed_gives_the_same_model_and_another_one_another(whole, faces, tmp_path):
    again = run(dataclasses.replace(CONFIG, seed=0), faces, tmp_path / "same")
    other = run(dataclasses.replace(CONFIG, seed=1), faces, tmp_path / "other")
    assert_equal(dict(again.state_dict()), dict(state_of(whole)["ema"]))
    assert not torch.equal(other.generator.input.input, again.generator.input.input)


def test_learning_lowers_the_loss(faces, tmp_path):
    config = dataclasses.replace(PLAIN, narrow=0.125, steps=24, batch=4, sample_every=4, save_every=100)
    run(config, faces, tmp_path)
    with (tmp_path / "losses.csv").open() as file:
        losses = [float(row["pixel"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_global_random_state_is_untouched(faces, tmp_path):
    before, handler = torch.get_rng_state(), signal.getsignal(signal.SIGINT)
    run(dataclasses.replace(CONFIG, steps=1), faces, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_run_that_goes_on_with_other_data_says_so(faces, tmp_path, capsys):
    run(dataclasses.replace(PLAIN, steps=1), faces, tmp_path / "run")
    assert "other data" not in capsys.readouterr().err
    fewer = tmp_path / "fewer"
    FaceStore.write(fewer, FaceStore(faces).pixels[:8], FaceStore(faces).sources[:8])
    recipe = dataclasses.replace(PLAIN.recipe, scale=(1, 3))
    run(dataclasses.replace(PLAIN, steps=2, seed=5, recipe=recipe), fewer, tmp_path / "run")
    said = capsys.readouterr().err
    assert "goes on with other data: seed was 0 and is 5. faces was 9 faces " in said
    assert "recipe.scale was (2, 16) and is (1, 3)." in said
    assert "recipe.noise_sigma" not in said


def test_nan_names_a_state_only_where_there_is_one(faces, tmp_path, monkeypatch):
    real = stage_module.Stage._move_weights

    def spoil(self):
        real(self)
        next(self.raw.parameters()).data.fill_(float("nan"))

    run(dataclasses.replace(PLAIN, steps=1), faces, tmp_path / "old")
    monkeypatch.setattr(stage_module.Stage, "_move_weights", spoil)
    with pytest.raises(DegenerateOutputError, match="No state was saved before: start anew with a lower"):
        run(dataclasses.replace(PLAIN, sample_every=9), faces, tmp_path / "new")
    with pytest.raises(DegenerateOutputError, match=r"state\.pt still holds the last good state"):
        run(dataclasses.replace(PLAIN, sample_every=9), faces, tmp_path / "old")


def test_all_faces_of_a_person_who_is_kept_out_are(faces, tmp_path):
    """Also those of other photos; and what is kept is degraded by its name."""
    pixels = FaceStore(faces).pixels
    FaceStore.write(tmp_path, pixels, ["001_a.jpg", "002.jpg", "001_b.jpg", *(f"x{k}.jpg" for k in range(6))])
    kept = loop.Samples(FaceStore(tmp_path), 64)
    assert (kept.held_out, kept.others) == ([0], [1, 3, 4, 5, 6, 7, 8])
    (before,) = kept.pairs()
    FaceStore.write(tmp_path / "more", pixels[[0, 3]], ["elsewhere/001_a.jpg", "y.jpg"])
    (after,) = loop.Samples(FaceStore(tmp_path / "more"), 64).pairs()
    assert torch.equal(before[0], after[0])


def test_small_faces_are_left_out_where_their_size_is_known(faces, tmp_path):
    pixels = FaceStore(faces).pixels
    FaceStore.write(tmp_path, pixels, [f"{k}.jpg" for k in range(9)], [90, 40, 64, 63.9, *[100] * 5])
    assert loop.Samples(FaceStore(tmp_path), 64, 64).others == [2, 4, 5, 6, 7, 8]
    assert loop.Samples(FaceStore(faces), 64, 64).others == [1, 2, 3, 4, 5, 6, 7, 8]  # nobody knows
    with pytest.raises(ImageError, match=r"all smaller than 200 px.*Lower min_true_size"):
        loop.Samples(FaceStore(tmp_path), 64, 200)


def test_refusals_leave_the_folder_alone(faces, tmp_path):
    folder = tmp_path / "run"
    config = dataclasses.replace(CONFIG, faces=str(faces), run=str(folder))
    with pytest.raises(MissingWeightsError, match=r"vgg19.*https://.*perceptual = 0"):
        train(config)
    with pytest.raises(OptionError, match="run names no folder"):
        train(dataclasses.replace(config, run=""))
    with pytest.raises(OptionError, match="faces names nothing"):
        train(dataclasses.replace(config, faces=""))
    with pytest.raises(ImageError, match="No aligned faces"):
        run(CONFIG, tmp_path / "nowhere", folder)
    FaceStore.write(tmp_path / "one", np.zeros((2, 64, 64, 3), np.uint8), ["a.jpg", "a.jpg"])
    with pytest.raises(ImageError, match="Found 2 faces, all of people who are kept out"):
        run(CONFIG, tmp_path / "one", folder)
    assert not folder.exists()


@pytest.mark.parametrize("damage", ["another network", "cut short", "empty", "no state", "no dictionary"])
def test_a_state_that_does_not_fit_is_refused(faces, whole, tmp_path, damage):
    path, data = tmp_path / "state.pt", (whole / "state.pt").read_bytes()
    config = dataclasses.replace(CONFIG, narrow=0.125) if damage == "another network" else CONFIG
    if damage == "no state":
        torch.save({"weights": torch.zeros(3)}, path)
    elif damage == "no dictionary":
        torch.save([1, 2], path)
    else:
        path.write_bytes({"another network": data, "cut short": data[:1000], "empty": b""}[damage])
    with pytest.raises(OptionError, match=r"state\.pt is damaged or of another network"):
        run(config, faces, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_the_best_model_is_kept_beside_the_last(faces, tmp_path, monkeypatch):
    """By the objective on faces that are kept out: here the second of four evaluations."""
    figures = iter([0.9, 0.5, 0.7, 0.6])
    monkeypatch.setattr(loop.Samples, "write", lambda *_: {"objective": next(figures)})
    config = dataclasses.replace(PLAIN, steps=4, sample_every=1, save_every=1)
    run(config, faces, tmp_path / "four")
    best = read_checkpoint(tmp_path / "four" / "best.safetensors").state
    last = read_checkpoint(tmp_path / "four" / "model.safetensors").state
    assert state_of(tmp_path / "four")["best"] == 0.5
    assert not torch.equal(best["generator.input.input"], last["generator.input.input"])


def test_a_resumed_run_remembers_the_best(faces, tmp_path, monkeypatch):
    figures = iter([0.5, 0.7])
    monkeypatch.setattr(loop.Samples, "write", lambda *_: {"objective": next(figures)})
    config = dataclasses.replace(PLAIN, steps=2, sample_every=1, save_every=1)
    run(dataclasses.replace(config, steps=1), faces, tmp_path)
    before = (tmp_path / "best.safetensors").read_bytes()
    run(config, faces, tmp_path)
    assert (tmp_path / "best.safetensors").read_bytes() == before


def test_tensorboard_gets_what_the_csv_gets(faces, tmp_path):
    pytest.importorskip("tensorboard")
    reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    run(dataclasses.replace(PLAIN, steps=2, tensorboard=True), faces, tmp_path)
    events = reader.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    with (tmp_path / "losses.csv").open() as file:
        (row,) = csv.DictReader(file)
    (scalar,) = events.Scalars("pixel")
    assert (scalar.step, f"{scalar.value:.5g}") == (2, row["pixel"])


def test_tensorboard_that_is_not_installed_is_named(faces, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingWeightsError, match="pip install tensorboard"):
        run(dataclasses.replace(PLAIN, tensorboard=True), faces, tmp_path)
