"""Memory that runs out: fewer faces at once, for whoever calls, and an error that says what to do."""

from __future__ import annotations

import contextlib

import pytest
import torch

from gpen_nodes import GpenError, LocalHost, OutOfMemoryError, Restorer, read_checkpoint
from gpen_nodes.inference.memory import is_out_of_memory

CPU = LocalHost("cpu")
SHORTAGE = "CUDA out of memory. Tried to allocate 20 GiB."


@pytest.fixture
def restorer(tiny_checkpoint, monkeypatch):
    """One that takes faces in batches, as on a GPU."""
    restorer = Restorer(read_checkpoint(tiny_checkpoint))
    monkeypatch.setattr(restorer.backend, "batch_size", lambda device: 5)
    return restorer


@pytest.fixture
def cramp(restorer, monkeypatch):
    """Let more faces than so many fail; gives the list of how many were tried."""

    def take(most: int, error: Exception) -> list[int]:
        given, run = [], restorer.backend.run

        def cramped(image, check):
            given.append(len(image))
            if len(image) > most:
                raise error
            return run(image, check)

        monkeypatch.setattr(restorer.backend, "run", cramped)
        return given

    return take


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError(SHORTAGE), RuntimeError("MPS out of memory")])
def test_fewer_faces_at_once_where_memory_runs_out(restorer, cramp, recording_host, error):
    crops, host = torch.rand(6, 64, 64, 3), recording_host()
    expected = torch.cat([restorer.restore(crop[None], CPU) for crop in crops])
    given = cramp(2, error)
    assert torch.equal(restorer.restore(crops, host), expected)
    assert given == [5, 2, 2, 2]
    assert host.told == [(2, 6), (4, 6), (6, 6)]


def test_one_face_that_does_not_fit_is_an_error_that_hosts_know(restorer, cramp):
    original = torch.cuda.OutOfMemoryError(SHORTAGE)
    given = cramp(0, original)
    with pytest.raises(OutOfMemoryError, match="smaller model or bf16, or restore on the CPU") as caught:
        restorer.restore(torch.rand(5, 64, 64, 3), CPU)
    assert given == [5, 2, 1]
    assert isinstance(caught.value, GpenError)
    assert isinstance(caught.value, torch.cuda.OutOfMemoryError)
    assert caught.value.__cause__ is original


def test_a_network_that_does_not_fit_is_the_same_error(restorer):
    class Full(LocalHost):
        @contextlib.contextmanager
        def resident(self, module, memory_required):
            raise torch.cuda.OutOfMemoryError(SHORTAGE)
            yield

    with pytest.raises(OutOfMemoryError):
        restorer.restore(torch.rand(1, 64, 64, 3), Full("cpu"))


def test_other_errors_are_not_tried_again(restorer, cramp):
    given = cramp(0, RuntimeError("mat1 and mat2 must have the same dtype"))
    with pytest.raises(RuntimeError, match="mat1"):
        restorer.restore(torch.rand(3, 64, 64, 3), CPU)
    assert given == [3]


@pytest.mark.parametrize(
    ("text", "shortage"),
    [
        ("MPS backend out of memory (MPS allocated: 17.9 GB)", True),
        ("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried", True),
        ("[enforce fail at alloc_cpu.cpp] data. DefaultCPUAllocator: not enough memory: you tried", True),
        ("Could not allocate tensor with 9 bytes. There is not enough GPU video memory available!", True),
        ("expected memory format", False),
    ],
)
def test_devices_say_it_in_their_own_words(text, shortage):
    assert is_out_of_memory(RuntimeError(text)) == shortage
