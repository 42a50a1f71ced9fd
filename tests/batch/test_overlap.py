"""Overlapped steps: the same results in the same order as one after the other."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpen_nodes.batch import Steps, overlapped


@dataclass(frozen=True)
class Read:
    crops: Any
    pixels: int = 1000


def steps(counts, *, bad=frozenset(), poisoned=frozenset(), batches=None, alive=None):
    """Job k has ``counts[k]`` faces of value k; restoring adds a half."""

    def prepare(k):
        if alive is not None:
            alive.append(1)
        time.sleep((k * 7 % 3) / 1000)
        if k in bad:
            raise ValueError(f"bad {k}")
        return Read(torch.full((counts[k], 2, 2, 3), float(k)))

    def restore(engine, pictures):
        crops = torch.cat(pictures)
        if batches is not None:
            batches.append(sorted({int(v) for v in crops[:, 0, 0, 0]}))
        if any(float(k) in crops[:, 0, 0, 0] for k in poisoned):
            raise RuntimeError("poisoned")
        return [own + 0.5 for own in pictures]

    def finish(k, read, crops):
        if alive is not None:
            alive.pop()
        return k, len(crops), (crops == k + 0.5).all().item()

    return Steps(prepare, restore, finish)


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, 5), max_size=20),
    st.sets(st.integers(0, 19)),
    st.sets(st.integers(0, 19)),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_results_are_those_of_one_after_the_other(counts, bad, poisoned, faces, workers, engines):
    results = list(
        overlapped(
            range(len(counts)),
            steps(counts, bad=bad, poisoned=poisoned),
            list(range(engines)),
            faces=faces,
            workers=workers,
        )
    )
    assert [k for k, _ in results] == list(range(len(counts)))
    for k, result in results:
        if k in bad:
            assert str(result) == f"bad {k}"
        elif k in poisoned and counts[k]:
            assert str(result) == "poisoned"
        else:
            assert result == (k, counts[k], True)


def test_faces_of_several_pictures_go_through_together():
    batches: list[list[int]] = []
    list(overlapped(range(6), steps([1] * 6, batches=batches), ["one"], faces=3))
    assert batches == [[0, 1, 2], [3, 4, 5]]


def test_few_pictures_are_in_memory():
    alive: list[int] = []
    most = 0
    for _ in overlapped(range(60), steps([1] * 60, alive=alive), ["one"], faces=4, workers=2):
        most = max(most, len(alive))
    assert most <= 12


def test_steps_run_at_the_same_time():
    """Reading waits for a writing, which one after the other would never come to."""
    written = threading.Event()

    def prepare(k):
        if k == 1:
            assert written.wait(20)
        return Read(torch.zeros(1, 2, 2, 3))

    def finish(k, read, crops):
        written.set()
        return k

    jobs = Steps(prepare, lambda engine, crops: crops, finish)
    assert [r for _, r in overlapped([0, 1], jobs, ["one"], workers=1)] == [0, 1]


def test_the_next_batch_is_read_while_one_is_restored():
    """Restoring the first batch waits for the reading of the second one's last picture."""
    read = threading.Event()

    def prepare(k):
        if k == 7:
            read.set()
        return Read(torch.full((1, 2, 2, 3), float(k)))

    def restore(engine, crops):
        assert crops[0][0][0, 0, 0] > 0 or read.wait(20)
        return crops

    jobs = Steps(prepare, restore, lambda k, read, crops: k)
    assert [r for _, r in overlapped(range(12), jobs, ["one"], faces=4, workers=1)] == list(range(12))


@pytest.mark.parametrize("where", ["prepare", "restore", "finish"])
def test_an_interrupt_ends_all(where):
    stopped = threading.Event()

    def interrupt(*_):
        raise KeyboardInterrupt

    parts = {
        "prepare": lambda k: Read(torch.zeros(1, 2, 2, 3)),
        "restore": lambda engine, crops: crops,
        "finish": lambda k, read, crops: k,
    }
    parts[where] = interrupt
    with pytest.raises(KeyboardInterrupt):
        list(overlapped(range(50), Steps(**parts, stop=stopped.set), ["one"]))
    assert stopped.is_set()
    assert not [t for t in threading.enumerate() if t.name.startswith(("read", "restore", "write"))]
