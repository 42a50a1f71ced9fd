"""The choice of a dtype: what the device is quick in, if it gives the same picture."""

from __future__ import annotations

import logging

import pytest
import torch

from gpen_nodes import (
    Gpen,
    GpenConfig,
    LocalHost,
    Restorer,
    forget_restorers,
    get_restorer,
    precision,
    read_checkpoint,
)
from gpen_nodes.model import fold
from gpen_nodes.precision import choose_dtype

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_known():
    forget_restorers()
    yield
    forget_restorers()


@pytest.fixture
def network(tiny_checkpoint) -> Gpen:
    return Gpen.from_state_dict(read_checkpoint(tiny_checkpoint).state)


@pytest.fixture
def quick(monkeypatch):
    """A CPU that computes in what the test says."""

    def take(*names: str) -> None:
        monkeypatch.setattr(precision, "_quick_dtypes", lambda device: list(names))

    return take


def test_the_first_dtype_that_is_close_and_the_log_says_how_close(network, quick, caplog):
    quick("bf16", "fp16")
    with caplog.at_level(logging.INFO, "gpen_nodes"):
        assert choose_dtype(network, CPU) == "bf16"
    (line,) = caplog.messages
    assert "bf16 on cpu" in line
    assert float(line.split(": ")[1].split()[0]) > 40


def test_one_that_is_not_close_is_passed_over(network, quick, monkeypatch):
    quick("bf16")
    monkeypatch.setattr(precision, "CLOSE_ENOUGH", 90.0)
    assert choose_dtype(network, CPU) == "fp32"


def test_nan_is_not_close(network, quick, monkeypatch):
    quick("bf16")
    broken = lambda network, dtype=torch.float32: torch.nn.Identity() if dtype == torch.float32 else Broken()  # noqa: E731
    monkeypatch.setattr(precision, "fold", broken)
    assert choose_dtype(network, CPU) == "fp32"


class Broken(torch.nn.Module):
    def forward(self, x):
        return x * float("nan")


def test_a_device_that_cannot_says_nothing_worse_than_fp32(network, quick, monkeypatch):
    quick("bf16")

    def refuse(network, dtype=torch.float32):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(precision, "fold", refuse)
    assert choose_dtype(network, CPU) == "fp32"


def test_an_unknown_device_computes_in_fp32(network):
    assert choose_dtype(network, torch.device("meta")) == "fp32"


def test_auto_is_decided_once_for_a_file_and_device(tiny_checkpoint, quick, monkeypatch):
    quick("bf16")
    trials = []
    real = precision._first_close_enough
    monkeypatch.setattr(precision, "_first_close_enough", lambda *a: trials.append(a) or real(*a))
    first = get_restorer(tiny_checkpoint, "auto", CPU, keep=False)
    assert first.dtype == "bf16"
    assert get_restorer(tiny_checkpoint, "auto", CPU, keep=False) is first
    assert get_restorer(tiny_checkpoint, "bf16", keep=False) is first
    del first
    assert get_restorer(tiny_checkpoint, "auto", CPU).dtype == "bf16"  # read again, not tried again
    assert len(trials) == 1


def test_what_auto_chooses_is_the_one_that_is_resident(tiny_checkpoint, quick):
    quick()
    resident = get_restorer(tiny_checkpoint, "fp32")
    assert get_restorer(tiny_checkpoint, "auto", CPU) is resident


def test_a_dtype_that_is_asked_for_is_not_tried(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(precision, "_first_close_enough", lambda *a: pytest.fail("tried"))
    assert Restorer(read_checkpoint(tiny_checkpoint), "fp16").dtype == "fp16"


def test_fp16_does_not_overflow_where_styles_are_large():
    network = Gpen(GpenConfig(64, 64, 0.125, 1, style_dim=64, mapping_depth=2)).requires_grad_(False)
    for name, parameter in network.named_parameters():
        if "convs" in name and name.endswith("modulation.weight"):
            parameter.mul_(1e5)
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    try:
        half = fold(network, torch.float16)(x)
    except RuntimeError as error:
        pytest.skip(f"this torch computes no fp16 on CPUs: {error}")
    exact = fold(network)(x)
    assert 10 * torch.log10(exact.square().mean() / (half - exact).square().mean()) > 30


def test_a_local_host_is_where_auto_is_tried(tiny_checkpoint, quick):
    quick()
    assert get_restorer(tiny_checkpoint, device=LocalHost("cpu").device).dtype == "fp32"
