"""Mixed precision and accumulated batches against plain steps."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from gpen_nodes.errors import DegenerateOutputError
from gpen_nodes.training import TrainingConfig
from gpen_nodes.training.config import Precision
from gpen_nodes.training.losses import Objective
from gpen_nodes.training.stage import Stage
from gpen_nodes.training.start import start_networks
from tests.training.small import PLAIN

CONFIG = dataclasses.replace(PLAIN, adversarial=0.1, batch=8)


def fp16_on_a_cpu() -> Fabric:
    """Fabric itself would take bf16 there: its own plugin, with the scaler that it has on a GPU."""
    if not hasattr(torch.amp, "GradScaler"):
        pytest.skip("this torch scales gradients on GPUs alone")
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**6)
    return Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])


def cpu(precision: Precision = "32-true") -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision=precision)


def stage(config: TrainingConfig, fabric: Fabric) -> Stage:
    return Stage(config, fabric, Objective.build(config.weights, config.networks), *start_networks(config))


def batches(count: int, size: int) -> list:
    """The same faces in batches of ``size``, dealt as a run deals them."""
    generator = torch.Generator().manual_seed(1)
    faces = torch.rand(2, count, 3, 64, 64, generator=generator) * 2 - 1
    hands = count // size
    return [(faces[0, n::hands], faces[1, n::hands]) for n in range(hands)]


def distance(one: Stage, other: Stage) -> float:
    pairs = zip(one.raw.parameters(), other.raw.parameters(), strict=True)
    return max(((a - b).abs().max() / a.abs().max().clamp(min=1)).item() for a, b in pairs)


def test_accumulated_batches_are_one_large_batch():
    whole, parts = (stage(CONFIG, cpu()) for _ in range(2))
    _, (large, small) = [(whole.step(batches(8, 8)), parts.step(batches(8, 4))) for _ in range(2)]
    for name, term in large.items():
        assert small[name].item() == pytest.approx(term.item(), rel=1e-4), name
    assert distance(whole, parts) < 1e-5


@pytest.mark.parametrize("make", [lambda: cpu("bf16-mixed"), fp16_on_a_cpu], ids=["bf16", "fp16"])
def test_mixed_precision_follows_fp32(make):
    plain, mixed = stage(CONFIG, cpu()), stage(CONFIG, make())
    _, (expected, found) = [(plain.step(batches(2, 2)), mixed.step(batches(2, 2))) for _ in range(2)]
    assert all(p.dtype == torch.float32 for p in mixed.raw.parameters())
    for name, term in expected.items():
        assert found[name].item() == pytest.approx(term.item(), rel=0.1), name


def test_both_networks_share_one_scale_which_is_kept():
    mixed = stage(CONFIG, fp16_on_a_cpu())
    assert mixed.scaler is not None
    before = [p.clone() for p in mixed.raw.parameters()]
    mixed.scaler.load_state_dict(mixed.scaler.state_dict() | {"scale": 2.0**40, "_growth_tracker": 0})
    mixed.step(batches(2, 2))  # overflows: no weight moves, and the scale is halved once and not twice
    assert mixed.scaler.get_scale() == 2.0**39
    assert all(torch.equal(a, b) for a, b in zip(before, mixed.raw.parameters(), strict=True))
    assert mixed._parts()["scaler"] is mixed.scaler


def test_a_state_of_nan_is_not_saved(tmp_path):
    good = stage(PLAIN, cpu())
    good.save(tmp_path / "state.pt")
    before = (tmp_path / "state.pt").read_bytes()
    next(good.raw.parameters()).data.fill_(float("nan"))
    with pytest.raises(DegenerateOutputError, match=r"still holds the last good state"):
        good.save(tmp_path / "state.pt")
    assert (tmp_path / "state.pt").read_bytes() == before
