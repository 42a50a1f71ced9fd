"""The average against its closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gpen_nodes.training.ema import Ema


def linear(value: float) -> nn.Linear:
    layer = nn.Linear(2, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def test_after_many_steps_each_old_value_has_lost_its_share():
    model = linear(5.0)
    ema = Ema(model, decay=0.9)
    nn.init.constant_(model.weight, 1.0)
    for step in range(1000, 1020):  # late enough for the full decay
        ema.update(model, step)
    assert ema.model.weight.flatten().tolist() == pytest.approx([1 + 4 * 0.9**20] * 2, rel=1e-6)


def test_the_first_steps_average_less():
    model = linear(0.0)
    ema = Ema(model, decay=0.999)
    nn.init.constant_(model.weight, 1.0)
    expected = 0.0
    for step in range(1, 6):
        ema.update(model, step)
        share = (1 + step) / (10 + step)
        expected = share * expected + (1 - share)
    assert ema.model.weight.flatten().tolist() == pytest.approx([expected] * 2, rel=1e-6)


def test_the_average_is_a_frozen_copy():
    model = linear(1.0).train()
    ema = Ema(model, 0.9)
    assert not ema.model.training
    assert not any(p.requires_grad for p in ema.model.parameters())
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    ema.update(model, 1)
    assert torch.equal(model.weight, torch.ones(1, 2))
    assert ema.model.weight.data_ptr() != model.weight.data_ptr()
