"""Devices by name, wherever one is asked for."""

from __future__ import annotations

import pytest
import torch

from gpen_nodes import LocalHost, OptionError, get_restorer


def test_a_device_may_be_named(tiny_checkpoint):
    assert LocalHost("cpu").device == LocalHost(torch.device("cpu")).device == torch.device("cpu")
    assert get_restorer(tiny_checkpoint, "auto", "cpu", keep=False).size == 64


@pytest.mark.parametrize("wrong", ["warp9", 1.5])
def test_an_unknown_device_is_an_option_that_makes_no_sense(tiny_checkpoint, wrong):
    with pytest.raises(OptionError, match="device is"):
        get_restorer(tiny_checkpoint, "auto", wrong)
