"""``backend="auto"``: another engine only where a trial shows that it is worth it."""

from __future__ import annotations

import logging

import pytest
import torch

from gpen_nodes import BACKENDS, LocalHost, Restorer, forget_restorers, get_restorer
from gpen_nodes.inference import engines, verdicts
from gpen_nodes.inference.folded import FoldedBackend

CPU = LocalHost("cpu")


class Clock:
    """Time that passes only while an engine runs."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Make one whose OpenVINO takes so many times our seconds, and gives our picture and an error."""
    clock = Clock()
    monkeypatch.setattr(engines, "time", clock)
    monkeypatch.setattr(engines, "_candidates", lambda device: ["openvino"] if device.type == "cpu" else [])
    monkeypatch.setattr(engines, "available_memory", lambda: 2**40)
    monkeypatch.setattr(verdicts, "user_cache_folder", lambda: tmp_path / "cache")
    made: list[str] = []

    def engine(name: str, seconds: float, error: float):
        class Timed(FoldedBackend):
            def __init__(self, network, dtype, check):
                super().__init__(network, dtype)
                made.append(name)

            def run(self, image, check):
                clock.now += seconds
                return super().run(image, check) + error

        monkeypatch.setitem(BACKENDS, name, Timed)

    def build(times: float = 0.5, error: float = 0.0) -> list[str]:
        engine("folded", 1.0, 0.0)
        engine("openvino", times, error)
        return made

    forget_restorers()
    yield build
    forget_restorers()


def chosen(restorer: Restorer) -> str:
    return restorer.__reduce__()[1][3]


@pytest.mark.parametrize(
    ("times", "error", "engine"),
    [
        (0.5, 0.0, "openvino"),
        (0.89, 0.001, "openvino"),
        (0.95, 0.0, "folded"),
        (2.0, 0.0, "folded"),
        (0.5, 0.1, "folded"),
        (0.5, float("nan"), "folded"),
    ],
)
def test_it_has_to_be_clearly_quicker_and_as_exact(machine, tiny_checkpoint, times, error, engine, caplog):
    machine(times, error)
    with caplog.at_level(logging.INFO, "gpen_nodes"):
        assert chosen(Restorer.from_file(str(tiny_checkpoint), backend="auto")) == engine
    assert f"openvino takes {times:.3f} s, folded 1.000 s" in caplog.text


def test_and_its_memory_has_to_be_there(machine, tiny_checkpoint, monkeypatch, caplog):
    machine(0.5)
    monkeypatch.setattr(engines, "available_memory", lambda: 2**20)
    with caplog.at_level(logging.INFO, "gpen_nodes"):
        assert chosen(Restorer.from_file(str(tiny_checkpoint), backend="auto")) == "folded"
    assert "MB are left" in caplog.text
    assert not (verdicts.user_cache_folder() / "dtypes").exists()  # another time there may be more


def test_one_trial_serves_later_processes(machine, tiny_checkpoint):
    made = machine(0.5)
    assert chosen(get_restorer(tiny_checkpoint, "fp32", "cpu", backend="auto")) == "openvino"
    forget_restorers()  # as a new process begins
    made.clear()
    again = get_restorer(tiny_checkpoint, "fp32", "cpu", backend="auto")
    assert (chosen(again), made) == ("openvino", ["openvino"])


def test_other_devices_and_machines_without_it_are_not_tried(machine, tiny_checkpoint, monkeypatch):
    made = machine(0.5)
    monkeypatch.setattr(engines, "_candidates", lambda device: [])
    assert chosen(Restorer.from_file(str(tiny_checkpoint), backend="auto")) == "folded"
    assert made == ["folded"]
    monkeypatch.undo()
    assert engines._candidates(torch.device("cuda")) == []


def test_an_engine_that_fails_in_the_trial_is_left_alone(machine, tiny_checkpoint, monkeypatch):
    machine(0.5)

    def broken(network, dtype, check):
        raise RuntimeError("no such instruction")

    monkeypatch.setitem(BACKENDS, "openvino", broken)
    assert chosen(Restorer.from_file(str(tiny_checkpoint), backend="auto")) == "folded"


def test_the_real_one_where_it_is_installed(tiny_checkpoint):
    pytest.importorskip("openvino")
    restorer = Restorer.from_file(str(tiny_checkpoint), "auto", backend="auto")
    assert chosen(restorer) in ("folded", "openvino")
    assert restorer.restore(torch.rand(1, 64, 64, 3), CPU).shape == (1, 64, 64, 3)
