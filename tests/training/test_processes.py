"""Many processes, one model: what torchrun starts, and what a kill leaves behind."""

from __future__ import annotations

import csv
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gpen_nodes.training import TrainingConfig, to_toml, train
from tests.training.small import CONFIG, PLAIN, assert_equal, state_of

ROOT = Path(__file__).resolve().parents[2]
ADVERSARIAL = dataclasses.replace(PLAIN, adversarial=0.1)

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch has no distributed")


def start(config: TrainingConfig, *launcher: str) -> subprocess.Popen[str]:
    """The command in a process of its own, on the CPU and with as many threads as this one."""
    Path(config.run).mkdir(parents=True)
    path = Path(config.run, "wanted.toml")
    path.write_text(to_toml(config), encoding="utf-8")
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads()), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "gpen_nodes", "train", "--config", str(path)],
        cwd=ROOT,
        env=os.environ | threads,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


@pytest.mark.parametrize(("steps", "accumulate"), [(20, 1), (3, 2)])
def test_one_process_and_two_give_the_same_weights(steps, accumulate, faces, tmp_path):
    config = dataclasses.replace(
        ADVERSARIAL, faces=str(faces), steps=steps, learning_rate=5e-5, sample_every=20, save_every=20
    )
    one = dataclasses.replace(config, batch=8 * accumulate, run=str(tmp_path / "one"))
    two = dataclasses.replace(config, batch=4, accumulate=accumulate, run=str(tmp_path / "two"))
    running = start(two, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    train(one)
    said = finish(running)
    assert said.count("model.safetensors") == 1  # one of them speaks
    ours, theirs = (state_of(tmp_path / name) for name in ("one", "two"))
    assert theirs["step"] == steps
    losses = [_logged(tmp_path / name)["pixel"] for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)  # of all faces, not of the first process's
    for network in ("model", "discriminator", "ema"):
        for name, weight in ours[network].items():
            # The mapper stores weights of over 100, where fp32 itself has steps of 1.5e-5.
            scale = weight.abs().max().clamp(min=1)
            assert (weight - theirs[network][name]).abs().max() / scale <= 1e-5, f"{network}.{name}"


def _logged(folder: Path) -> dict[str, float]:
    """The last line of a run's losses."""
    with (folder / "losses.csv").open() as file:
        return {name: float(value) for name, value in list(csv.DictReader(file))[-1].items() if value}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_killed_and_resumed_is_the_same_to_the_last_bit(faces, tmp_path):
    config = dataclasses.replace(
        ADVERSARIAL, faces=str(faces), steps=40, workers=1, sample_every=4, save_every=4
    )
    whole, killed = (dataclasses.replace(config, run=str(tmp_path / name)) for name in ("whole", "killed"))
    running = start(killed)
    state = Path(killed.run, "state.pt")
    while running.poll() is None and not state.exists():
        time.sleep(0.01)
    time.sleep(random.uniform(0, 1))
    running.send_signal(signal.SIGKILL)
    running.communicate()
    step = state_of(Path(killed.run))["step"]
    assert running.returncode == -signal.SIGKILL, f"ended before it was killed, at step {step}"
    assert not Path(killed.run, "model.safetensors").exists()
    train(whole)
    train(killed)
    assert_equal(state_of(Path(killed.run)), state_of(Path(whole.run)))
    logged = [
        [line.split(",", 2)[::2] for line in Path(c.run, "losses.csv").read_text().splitlines()]
        for c in (whole, killed)
    ]
    assert logged[0] == logged[1]  # step and figures; only the seconds differ
    assert len(logged[0]) == 1 + 10


def test_the_launcher_decides_how_many(monkeypatch):
    from gpen_nodes.training import loop

    asked = {}
    monkeypatch.setattr(loop, "Fabric", lambda **options: asked.update(options))
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    for name, value in {"LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "64"}.items():
        monkeypatch.setenv(name, value)
    loop.make_fabric(dataclasses.replace(CONFIG, processes=2))
    assert (asked["devices"], asked["num_nodes"]) == (8, 8)
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: False)
    loop.make_fabric(dataclasses.replace(CONFIG, processes=2, nodes=3))
    assert (asked["devices"], asked["num_nodes"]) == (2, 3)
