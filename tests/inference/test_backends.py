"""The table of backends, and that a session which owns no module can stand in it."""

from __future__ import annotations

import contextlib

import pytest
import torch

from gpen_nodes import BACKENDS, LocalHost, OptionError, Restorer, read_checkpoint
from gpen_nodes.host import resident
from gpen_nodes.inference.folded import fold

CPU = LocalHost("cpu")


class Session:
    """An engine of another library, so far as the core sees it."""

    module, weight_bytes, activation_bytes = None, 1000, 10

    def __init__(self, network, dtype, check):
        self._network, self.placed = fold(network, dtype), []

    def place(self, device):
        self.placed.append(device)

    def batch_size(self, device):
        return 2

    def run(self, image, check):
        check()
        return self._network(image)


class Books(LocalHost):
    """Notes what it is asked to hold."""

    def __init__(self):
        super().__init__("cpu")
        self.asked, self.held = [], 0

    @contextlib.contextmanager
    def resident(self, module, memory_required):
        self.asked.append((module, memory_required))
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1


def test_a_session_without_a_module_restores(tiny_checkpoint, monkeypatch):
    monkeypatch.setitem(BACKENDS, "session", Session)
    restorer, host = Restorer(read_checkpoint(tiny_checkpoint), backend="session"), Books()
    crops = torch.rand(3, 64, 64, 3)
    restored = restorer.restore(crops, host)
    torch.testing.assert_close(restored, Restorer(read_checkpoint(tiny_checkpoint)).restore(crops, CPU))
    assert host.asked == [(None, 1000 + 2 * 10)]
    assert isinstance(restorer.backend, Session)
    assert restorer.backend.placed == [CPU.device]
    assert host.held == 0
    assert restorer.module is None


def test_an_unknown_backend_is_told(tiny_checkpoint):
    with pytest.raises(OptionError, match=r"'tensorrt'.*folded, cuda_graphs"):
        Restorer(read_checkpoint(tiny_checkpoint), backend="tensorrt")


def test_the_fp32_twin_is_held_by_the_host_after_the_network_not_beside_it(tiny_checkpoint, monkeypatch):
    restorer, host = Restorer(read_checkpoint(tiny_checkpoint), "bf16"), Books()
    crops, run, held = torch.rand(3, 64, 64, 3), restorer.backend.run, []

    def overflow_in_the_second(image, check):
        held.append(host.held)
        output = run(image, check)
        return output * float("nan") if len(held) == 2 else output

    expected = restorer.restore(crops, CPU)
    monkeypatch.setattr(restorer.backend, "run", overflow_in_the_second)
    restored = restorer.restore(crops, host)
    exact = Restorer(read_checkpoint(tiny_checkpoint)).restore(crops[1:2], CPU)
    assert torch.equal(restored, torch.cat([expected[:1], exact, expected[2:]]))
    assert restorer._exact is not None
    assert [module for module, _ in host.asked] == [restorer.module, restorer._exact.module]
    assert held == [1, 1, 1]
    assert host.held == 0


def test_a_host_that_only_places_still_works(tiny_checkpoint):
    class Old:
        device, moved = torch.device("cpu"), 0

        def place(self, module, memory_required):
            self.moved += memory_required > 0

        def progress(self, done, total, preview=None):
            pass

        def check_interrupt(self):
            pass

    host = Old()
    restorer, crops = Restorer(read_checkpoint(tiny_checkpoint)), torch.rand(1, 64, 64, 3)
    # type: ignore: a host as they were before `resident`.
    assert restorer.restore(crops, host).isfinite().all()  # type: ignore[arg-type]
    assert host.moved == 1


def test_a_host_that_can_do_neither_is_told():
    with (
        pytest.raises(OptionError, match=r"object has no method resident\(module"),
        resident(object(), None, 0),  # type: ignore[arg-type]  # no host: that is told
    ):
        pass
