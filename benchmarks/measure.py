"""Workers that take turns, and the seconds and memory that they need.

Whoever measures loads each variant in a process of its own, so that its memory is its own, and lets them run
one at a time in rounds, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Sample", "Turns", "Unavailable", "Work", "Worker", "call", "take_turns"]

SPAWN = multiprocessing.get_context("spawn")
RESERVE_MB = 3000  # What the machine keeps for everything else.


class Unavailable(Exception):
    """Why something cannot be measured here, in one line."""

    @classmethod
    def because(cls, error: Exception) -> Unavailable:
        """An error of any kind as one line."""
        if isinstance(error, cls):
            return error
        lines = str(error).strip().splitlines()
        return cls(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)


def resident_mb(pid: int | str = "self", field: str = "VmRSS") -> float:
    """Memory of a Linux process in MB (10⁶ bytes): what it holds, or with ``VmHWM`` what it held at most."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def reset_peak_rss() -> None:
    """Make the most that this process held what it holds now; where there is no /proc, nothing happens."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_rss_mb() -> float:
    """The most that this process held since the reset, or where there is no /proc since it began, in MB."""
    with contextlib.suppress(OSError):
        return resident_mb(field="VmHWM")
    import resource  # Windows has neither.

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def available_mb() -> float:
    """Memory that processes can still take, in MB; infinite where nobody says."""
    with contextlib.suppress(OSError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        return int(found[1]) * 1024 / 1e6 if found else math.inf
    return math.inf


class Work(NamedTuple):
    """What a worker does at its turn, ``repeats`` times, and whose memory counts."""

    run: Callable[[], object]
    repeats: int = 1
    reset_peak: Callable[[], object] = reset_peak_rss
    peak_mb: Callable[[], float] = peak_rss_mb


class Sample(NamedTuple):
    """One turn: seconds of wall and CPU time, divided by the repeats, and the most memory meanwhile."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def _take(work: Work) -> Sample:
    work.reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    work.run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Sample(wall / work.repeats, cpu / work.repeats, work.peak_mb())


def _serve(pipe: Connection, load: Callable[..., Work], args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent ends its workers itself.
    try:
        work = load(*args)
        pipe.send("ready")
        while pipe.recv():
            pipe.send(_take(work))
    except Exception as error:
        with contextlib.suppress(BrokenPipeError):  # The parent itself may be gone.
            pipe.send(Unavailable.because(error))


class Worker:
    """A process that loads something once and then runs it whenever it is asked to.

    Args:
        load: a function at the top level of a module: builds what is to be timed, runs it once to warm it up.
        args: for ``load``.
    """

    def __init__(self, load: Callable[..., Work], *args: Any) -> None:
        self.need_mb = 0.0
        self._load, self._args = load, args
        self._process: Any = None

    def run(self) -> Sample:
        """Start the process if there is none, take one turn.

        Raises:
            Unavailable: it could not load or run, or was killed.
        """
        if self._process is None:
            self._pipe, end = SPAWN.Pipe()
            self._process = SPAWN.Process(target=_serve, args=(end, self._load, self._args), daemon=True)
            self._process.start()
            end.close()
            self._receive()
        with contextlib.suppress(BrokenPipeError):  # Killed while it was idle: there is no answer then.
            self._pipe.send("run")
        sample = self._receive()
        self.need_mb = max(self.need_mb, sample.peak_mb)
        return sample

    def _receive(self) -> Any:
        try:
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            answer = Unavailable(f"its process ended with exit code {self._process.exitcode}")
        if isinstance(answer, Unavailable):
            self.stop()
            raise answer
        return answer

    @property
    def holds_mb(self) -> float:
        """What its process holds now; 0 without one."""
        with contextlib.suppress(OSError):
            return resident_mb(self._process.pid) if self._process else 0.0
        return 0.0

    def stop(self) -> None:
        """End the process, if there is one; the next turn starts another."""
        if self._process is not None:
            self._process.terminate()
            self._process.join()
            self._process = None


class Turns(NamedTuple):
    """What each worker measured, round by round, or why it could not, by name."""

    samples: dict[str, list[Sample]]
    failed: dict[str, str]


def take_turns(workers: Mapping[str, Worker], rounds: int, what: str) -> Turns:
    """Let workers run one at a time, once in each round, and end them.

    Where memory is short, idle workers end early and load again at their next turn, which is not timed.
    """
    turns = Turns({name: [] for name in workers}, {})
    try:
        for turn in range(rounds):
            for name in list(turns.samples):
                print(f"{what}: {name}, {turn + 1} of {rounds}", file=sys.stderr, flush=True)
                _make_room(workers[name], workers.values())
                try:
                    turns.samples[name].append(workers[name].run())
                except Unavailable as reason:
                    turns.failed[name] = str(reason)
                    del turns.samples[name]
    finally:
        for worker in workers.values():
            worker.stop()
    return turns


def _make_room(worker: Worker, workers: Iterable[Worker]) -> None:
    """Stop idle workers, the largest first, until what the next one needs is free."""
    for other in sorted(workers, key=lambda w: w.holds_mb, reverse=True):
        if available_mb() - RESERVE_MB >= worker.need_mb - worker.holds_mb:
            return
        if other is not worker:
            other.stop()


def call(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function at the top level of a module, run in a process of its own.

    Raises:
        Unavailable: it failed.
    """
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        try:
            return pool.submit(function, *args).result()
        except Exception as error:
            raise Unavailable.because(error) from None
