"""Devices by name, wherever one is asked for."""

from __future__ import annotations

import pytest
import torch

from gpen_nodes import LocalHost, OptionError, get_restorer


def test_a_device_may_be_named(tiny_checkpoint):
    assert LocalHost("cpu").device == LocalHost(torch.device("cpu")).device == torch.device("cpu")
    assert get_restorer(tiny_checkpoint, "auto", "cpu", keep=False).size == 64


@pytest.mark.parametrize("there", [("cuda", "xpu", "mps"), ("xpu", "mps"), ("mps",), ()])
def test_the_best_device_that_is_there(there, monkeypatch):
    places = {"cuda": torch.cuda, "xpu": getattr(torch, "xpu", None), "mps": torch.backends.mps}
    for name, place in places.items():
        if place is not None:
            monkeypatch.setattr(place, "is_available", lambda name=name: name in there)
    if there[:1] == ("xpu",) and places["xpu"] is None:
        pytest.skip("this torch knows no XPU")
    assert LocalHost().device.type == (*there, "cpu")[0]


@pytest.mark.parametrize("wrong", ["warp9", 1.5])
def test_an_unknown_device_is_an_option_that_makes_no_sense(tiny_checkpoint, wrong):
    with pytest.raises(OptionError, match="device is"):
        get_restorer(tiny_checkpoint, "auto", wrong)
