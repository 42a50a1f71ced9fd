"""What a dry run counts, against what is known."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gpen_nodes.training.loop import plan
from gpen_nodes.training.plan import saved_tensors
from gpen_nodes.training.stage import Stage
from tests.training.small import PLAIN

ROOT = Path(__file__).resolve().parents[2]


def test_what_autograd_keeps_is_counted_once():
    layer = nn.Linear(256, 256, bias=False)
    x = torch.rand(64, 256, requires_grad=True)

    def forward() -> torch.Tensor:
        hidden = layer(x).tanh()  # keeps x, and its own output
        return (hidden * hidden).sum()  # keeps the same output twice

    activations = 64 * 256
    assert sorted(saved_tensors(forward, layer)) == [(4 * activations, activations)] * 2
    assert sorted(saved_tensors(forward))[2:] == [(4 * 256 * 256, 256 * 256)]


def first(pattern: str, text: str) -> re.Match[str]:
    match = re.search(pattern, text)
    assert match, pattern
    return match


def test_a_plan_says_what_the_run_takes_and_writes_nothing(faces, tmp_path):
    config = dataclasses.replace(
        PLAIN, faces=str(faces), run=str(tmp_path / "run"), adversarial=0.1, accumulate=2, steps=1000
    )
    text = plan(config)
    assert not list(tmp_path.iterdir())
    assert "pixel 1, adversarial 0.1" in text
    assert "8 to train on, 1 held out" in text
    assert "4 faces: 1 × 2 batches of 2" in text
    assert "1000 steps, 500.0 epochs, about " in text
    seconds, hours = (float(first(p, text)[1]) for p in (r"([\d.]+) s a step", r"about ([\d.]+) hours"))
    assert abs(hours - seconds * 1000 / 3600) < 0.06
    total, *parts = map(float, re.findall(r"([\d.]+)(?: GB|,|$)", first("by count.*", text)[0]))
    assert total > 0
    assert abs(total - sum(parts)) < 0.03


def test_weights_that_are_not_here_are_counted_all_the_same(faces):
    before = torch.get_rng_state()
    terms = {"perceptual": 0.05, "identity": 0.1, "lpips": 0.1}
    text = plan(dataclasses.replace(PLAIN, faces=str(faces), start="nowhere.safetensors", **terms))
    assert torch.equal(torch.get_rng_state(), before)
    assert "pixel 1, perceptual 0.05, identity 0.1, lpips 0.1" in text
    (line,) = (line for line in text.splitlines() if line.startswith("not here yet"))
    for name in ("nowhere.safetensors", "VGG-19", "AlexNet and LPIPS", "MobileFaceNet"):
        assert name in line


def test_gradients_lie_in_memory_as_their_weights_do(faces, monkeypatch):
    """Else DDP copies them one by one. The ResNet has the 1×1 convolutions of stride 2 where they differ."""
    strides = []

    def look(self):
        strides.extend((p.stride(), p.grad.stride()) for p in self.raw.parameters() if p.grad is not None)

    monkeypatch.setattr(Stage, "_move_weights", look)
    plan(dataclasses.replace(PLAIN, faces=str(faces), encoder="resnet50"))
    assert strides
    assert all(own == of_gradient for own, of_gradient in strides)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from Linux's /proc")
def test_memory_is_what_the_process_has_held(faces):
    """In a process of its own, whose peak nothing before it has raised."""
    script = (
        "import dataclasses; from gpen_nodes.training.loop import plan;"
        "from tests.training.small import PLAIN;"
        "held = b'x' * 700_000_000; del held;"
        f"print(plan(dataclasses.replace(PLAIN, faces={str(faces)!r})));"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    (peak,) = re.findall(r"memory +([\d.]+) GB a process at most", run.stdout)
    assert 0.9 < float(peak) < 1.6  # what it held for a moment, and torch itself
