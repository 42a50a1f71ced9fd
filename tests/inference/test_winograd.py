"""Winograd's forms are 3×3 convolutions, and are chosen where they pay."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from gpen_nodes.inference.folded import layers as folded_layers
from gpen_nodes.inference.folded.winograd import F2, F4, winograd_conv2d, winograd_weight


@given(
    form=st.sampled_from([F2, F4]),
    down=st.integers(1, 4),
    across=st.integers(1, 4),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_same_as_a_convolution(form, down, across, channels):
    generator = torch.Generator().manual_seed(down + 10 * across)
    step, (inputs, outputs) = len(form.outputs), channels
    x = torch.randn(1, inputs, step * down + 2, step * across + 2, generator=generator)
    weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
    y = winograd_conv2d(x, winograd_weight(weight, form, torch.float32), form)
    expected = F.conv2d(x.double(), weight.double())
    assert y.shape == expected.shape
    assert (y - expected).norm() < 2e-5 * expected.norm()


@pytest.mark.parametrize("strip", [1, 3, 8])
def test_same_in_strips(strip):
    """One tile at a time, three of a row of four, and two rows of five, so that the last strip is smaller."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 8, 22, 18, generator=generator)
    weight = torch.randn(8, 8, 3, 3, generator=generator)
    y = winograd_conv2d(x, winograd_weight(weight, F4, torch.float32), F4._replace(strip=strip))
    expected = F.conv2d(x.double(), weight.double())
    assert (y - expected).norm() < 2e-5 * expected.norm()


def test_f2_bears_bf16():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 64, 34, 34, generator=generator)
    weight = torch.randn(64, 64, 3, 3, generator=generator)
    exact = F.conv2d(x.double(), weight.double())
    half = x.bfloat16()
    errors = [
        (winograd_conv2d(half, winograd_weight(weight, F2, half.dtype), F2) - exact).norm() / exact.norm(),
        (F.conv2d(half, weight.bfloat16()) - exact).norm() / exact.norm(),
    ]
    assert errors[0] < 0.01
    assert errors[0] < 3 * errors[1]


@pytest.mark.parametrize("amx", [False, True])
def test_forms_by_layer(monkeypatch, amx):
    monkeypatch.setattr(folded_layers, "has_amx", lambda: amx)
    form = folded_layers.winograd_form
    assert form(64, 512, torch.float32) is F4
    assert form(32, 512, torch.float32) is None
    assert form(32, 512, torch.bfloat16) is (None if amx else F2)
    assert form(512, 64, torch.float32) is F4
    assert form(1024, 32, torch.float32) is None
    assert form(64, 512, torch.bfloat16) is (None if amx else F2)
    assert form(256, 128, torch.bfloat16) is None
    assert form(64, 512, torch.float16) is None
