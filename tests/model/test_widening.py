"""A widened network is the old function, and its new channels can learn."""

from __future__ import annotations

import pytest
import torch

from gpen_nodes import GpenConfig, OptionError
from gpen_nodes.model.widening import widen
from tests.figures import decibels
from tests.golden import recipe
from tests.model.test_growing import CONFIGS, model_with_biases


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_starts_as_the_same_function(name):
    model = model_with_biases(CONFIGS[name])
    wide = widen(model, 0.5)
    assert GpenConfig.from_state_dict(wide.state_dict()) == wide.config
    assert wide.config.narrow == 0.5
    x = recipe.picture(64, batch=2)
    assert decibels(wide(x), model(x)) >= 100


@pytest.mark.parametrize("name", CONFIGS)
def test_every_new_channel_is_read_and_learns(name):
    wide = widen(model_with_biases(CONFIGS[name]), 0.5)
    x = recipe.picture(64, batch=2)
    optimizer = torch.optim.SGD(wide.parameters(), lr=1e-2)
    for _ in range(2):  # At first only the zeros learn; then what they read does, too.
        optimizer.zero_grad()
        (wide(x) - x).abs().mean().backward()
        optimizer.step()
    constant = wide.generator.input.input.grad
    assert constant is not None
    assert (constant.abs().amax(dim=(0, 2, 3)) > 0).all()


@pytest.mark.parametrize("narrow", [0.25, 0.125])
def test_a_width_that_is_none_is_refused(narrow):
    with pytest.raises(OptionError, match="expected more"):
        widen(model_with_biases(CONFIGS["conv, added"]), narrow)
