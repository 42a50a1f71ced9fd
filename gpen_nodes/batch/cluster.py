"""A job's pictures on the workers of a Ray cluster, by Ray Data."""
# pyright: reportMissingImports=false
# Ray is an extra that the tests do without.

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import GpenError, MissingWeightsError, OptionError
from .results import Outcome

__all__ = ["Workers", "cluster", "on_workers", "worker_name"]

_GROUP = 8  # pictures that a worker gets at a time, and at most loses
_TRIES = 3  # of a group whose worker dies; then each picture has its own

_Task = TypeVar("_Task")
Work = Callable[[Sequence[_Task]], Sequence[Outcome]]


@dataclass(frozen=True)
class Workers:
    """How many processes there are, and what each takes of the cluster."""

    count: int
    cpus: int = 1
    gpus: int = 0


class WorkerDied(GpenError):
    """The process that had a picture ended each time."""


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[list[dict[str, float]]]:
    """Be connected to a Ray cluster while the block runs.

    Args:
        address: such as ``auto`` or ``10.0.0.1:6379``; None is the one of ``RAY_ADDRESS``, else a new one on
            this machine, which ends with the block.

    Returns:
        The resources of each machine, such as ``{"CPU": 16.0, "GPU": 1.0}``.

    Raises:
        MissingWeightsError: Ray is not installed.
        OptionError: nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # It would tell its makers.
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingWeightsError(
            f"--ray needs Ray Data ({error}): pip install 'gpen-nodes[ray]', on every machine."
        ) from error
    on_sigterm = signal.getsignal(signal.SIGTERM)
    new = not (address or os.environ.get("RAY_ADDRESS"))
    try:
        ray.init(
            address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if new else None,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise OptionError(f"--ray {address or ''}: no cluster answers there. {error}") from error
    with contextlib.suppress(ValueError):  # We are not in the main thread.
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own there.
    try:
        yield [node["Resources"] for node in ray.nodes() if node["Alive"]]
    finally:
        ray.shutdown()


def worker_name() -> str:
    """In a worker's process: a name that no other process has or had."""
    import ray

    return f"ray-{ray.get_runtime_context().get_worker_id()[:16]}"


def on_workers(
    tasks: Sequence[_Task], load: Callable[[], Work[_Task]], workers: Workers
) -> Generator[tuple[int, Outcome | GpenError], None, None]:
    """Do all tasks, a picture each, in the processes of a cluster; results come as they are ready.

    A worker that is lost is started again, on another machine if need be, and its pictures are done again.
    A picture with which its process dies each time is given up.

    Args:
        tasks: anything that pickle takes.
        load: gives what does a group of tasks. It goes to each process by pickle and is called there once.

    Returns:
        The place of each task, with what became of it.

    Raises:
        GpenError: no worker could be started.
    """
    rest: set[int] = set(range(len(tasks)))
    group = max(1, min(_GROUP, len(tasks) // (8 * workers.count)))
    for size in (group, 1):  # A group that is lost may have only one that kills.
        for place, outcome in _round(tasks, sorted(rest), size, load, workers):
            if place in rest:
                rest.remove(place)
                yield place, outcome
        if not rest:
            return
    for place in sorted(rest):
        yield (
            place,
            WorkerDied(
                f"The process that restores it died {_TRIES} times. It may need more memory than a worker "
                "has: scale it down first, or leave it out."
            ),
        )


def _round(
    tasks: Sequence[_Task],
    places: Sequence[int],
    size: int,
    load: Callable[[], Work[_Task]],
    workers: Workers,
) -> Iterator[tuple[int, Outcome]]:
    from ray import data
    from ray.exceptions import RayError

    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # They are missing in what comes back.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    groups = [places[start : start + size] for start in range(0, len(places), size)]
    rows = [{"group": pickle.dumps([(place, tasks[place]) for place in group])} for group in groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Ray's, on the retries
        done = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Worker,
            fn_constructor_args=(load,),
            batch_size=None,
            # With a second group in line, a worker's death would count against that, too.
            compute=data.ActorPoolStrategy(
                size=min(workers.count, len(rows)), max_tasks_in_flight_per_actor=1
            ),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            max_task_retries=_TRIES - 1,
        )
    try:
        for row in done.iter_rows():
            yield from pickle.loads(row["outcomes"])
    except RayError as error:
        cause = str(error).strip().splitlines() or [type(error).__name__]
        raise OptionError(f"No worker of the cluster could be started: {cause[-1]}") from error


class _Worker:
    """What Ray Data makes in each process."""

    def __init__(self, load: Callable[[], Work[Any]]) -> None:
        self._work = load()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        outcomes = []
        for packed in batch["group"]:
            group = pickle.loads(packed)
            results = self._work([task for _, task in group])
            outcomes.append(
                pickle.dumps([(place, one) for (place, _), one in zip(group, results, strict=True)])
            )
        return {"outcomes": outcomes}
