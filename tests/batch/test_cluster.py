"""Jobs on the workers of a Ray cluster, which die."""

from __future__ import annotations

import builtins
import os
import signal
import sys
from pathlib import Path

import pytest

from gpen_nodes import GpenError, MissingWeightsError, OptionError
from gpen_nodes.batch import Job, Outcome, Workers, cluster, on_workers
from gpen_nodes.batch.cluster import WorkerDied

JOBS = [Job(Path(f"{k}.png"), Path(f"out/{k}.png"), f"{k}.png") for k in range(40)]


@pytest.fixture(scope="module")
def machines():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'gpen-nodes[ray]'")
    with cluster(None) as machines:
        yield machines


def test_a_worker_that_is_killed_costs_nothing(machines, tmp_path):
    # Two names that lie on the disk: whose process has been killed, and how often each picture was done.
    folder = str(tmp_path)

    def load():
        def work(jobs):
            for job in jobs:
                with open(os.path.join(folder, job.name), "a") as times:
                    times.write("x")
                if job.name == "7.png" and not os.path.exists(os.path.join(folder, "killed")):
                    open(os.path.join(folder, "killed"), "w").close()
                    os.kill(os.getpid(), signal.SIGKILL)
            return [Outcome({"input": job.name}) for job in jobs]

        return work

    results = dict(on_workers(JOBS, load, Workers(2)))
    assert (tmp_path / "killed").exists()
    told = {place: getattr(outcome, "entry", {}).get("input") for place, outcome in results.items()}
    assert told == {place: job.name for place, job in enumerate(JOBS)}
    again = [job.name for job in JOBS if (tmp_path / job.name).read_text() != "x"]
    assert "7.png" in again
    assert len(again) <= 8


def test_a_picture_that_kills_is_told_and_spoils_no_other(machines):
    def load():
        def work(jobs):
            if any(job.name == "7.png" for job in jobs):
                os.kill(os.getpid(), signal.SIGKILL)
            return [Outcome({"input": job.name}) for job in jobs]

        return work

    results = dict(on_workers(JOBS[:20], load, Workers(1)))
    assert set(results) == set(range(20))
    assert [place for place, outcome in results.items() if isinstance(outcome, WorkerDied)] == [7]


def test_workers_that_cannot_load_say_why(machines):
    def load():
        raise OptionError("there is no such model here")

    with pytest.raises(GpenError, match="there is no such model here"):
        list(on_workers(JOBS[:2], load, Workers(1)))


def test_without_ray_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def no_ray(name, *more):
        if name.split(".")[0] == "ray":
            raise ImportError("No module named 'ray'", name="ray")
        return real(name, *more)

    for name in [name for name in sys.modules if name.split(".")[0] == "ray"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", no_ray)
    with pytest.raises(MissingWeightsError, match=r"gpen-nodes\[ray\]"), cluster(None):
        pass
