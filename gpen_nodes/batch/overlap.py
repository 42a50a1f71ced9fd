"""Pictures one after the other whose steps overlap: some are read while others are restored or written."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

__all__ = ["Steps", "overlapped"]

_PIXELS = 48_000_000  # in pictures that are restored or written at a time: about 2 GB as float32
_PICTURES = 8  # whose faces go through a network together


class Ready(Protocol):
    """A picture that has been read: its faces are ready for the network."""

    @property
    def crops(self) -> Sequence[Tensor]:
        """[S, S, 3] each, none or more."""
        ...

    @property
    def pixels(self) -> int:
        """Of the picture, by which memory is bounded."""
        ...


_Job = TypeVar("_Job")
_Ready = TypeVar("_Ready", bound=Ready)
_Engine = TypeVar("_Engine")


@dataclass(frozen=True)
class Steps(Generic[_Job, _Ready, _Engine]):
    """What is done with each picture; each step may raise, which is that picture's own failure.

    Attributes:
        prepare: reads it and finds its faces.
        restore: runs an engine on the crops of one or more pictures, and gives each picture's in their order.
        finish: pastes and writes, from the restored crops.
        stop: makes steps under way end soon; called when the caller stops early.
    """

    prepare: Callable[[_Job], _Ready]
    restore: Callable[[_Engine, Sequence[Sequence[Tensor]]], Sequence[Sequence[Tensor]]]
    finish: Callable[[_Job, _Ready, Sequence[Tensor]], Any]
    stop: Callable[[], object] = lambda: None


@dataclass
class _Item(Generic[_Job, _Ready]):
    job: _Job
    ready: Future[_Ready]
    done: Future[Any] | None = None
    pixels: int = 0


def overlapped(
    jobs: Iterable[_Job],
    steps: Steps[_Job, _Ready, _Engine],
    engines: Sequence[_Engine],
    *,
    faces: int = 1,
    workers: int = 2,
) -> Generator[tuple[_Job, Any], None, None]:
    """Do all jobs; results come in the order of the jobs, however long each takes.

    At most ``2 × workers + 16`` pictures are in memory, and fewer large ones. Which faces share a batch
    follows from the order of the jobs alone.

    Args:
        engines: each runs one batch at a time.
        faces: that go through an engine together, of up to 8 pictures.
        workers: threads that read, and as many that write.

    Returns:
        Each job with what ``finish`` gave, or with the exception that one of its steps raised.
    """
    free: queue.SimpleQueue[_Engine] = queue.SimpleQueue()
    for engine in engines:
        free.put(engine)
    readers = ThreadPoolExecutor(workers, "read")
    networks = ThreadPoolExecutor(len(engines), "restore")
    writers = ThreadPoolExecutor(workers, "write")
    line = _Line(steps, free, networks, writers, faces)
    reading: deque[_Item[_Job, _Ready]] = deque()
    try:
        for job in jobs:
            reading.append(_Item(job, readers.submit(steps.prepare, job)))
            if len(reading) > workers:
                yield from line.take(reading.popleft(), workers)
        while reading:
            yield from line.take(reading.popleft(), workers)
        yield from line.drain()
    except BaseException:
        steps.stop()
        raise
    finally:
        for pool in (readers, networks, writers):
            pool.shutdown(wait=True, cancel_futures=True)


class _Line(Generic[_Job, _Ready, _Engine]):
    """Pictures from when they are read until they are written."""

    def __init__(
        self,
        steps: Steps[_Job, _Ready, _Engine],
        free: queue.SimpleQueue[_Engine],
        networks: ThreadPoolExecutor,
        writers: ThreadPoolExecutor,
        faces: int,
    ) -> None:
        self._steps, self._free, self._networks, self._writers = steps, free, networks, writers
        self._faces = faces
        self._batch: list[_Item[_Job, _Ready]] = []
        self._latest = 1  # pictures of the latest batch
        self._going: deque[_Item[_Job, _Ready]] = deque()

    def take(self, item: _Item[_Job, _Ready], behind: int) -> Iterator[tuple[_Job, Any]]:
        """Go on with a picture; gives those that are done.

        No more than ``behind`` are under way, and the latest batch: without that exception nothing would be
        read while a batch is restored.
        """
        self._batch.append(item)
        count = 0
        for one in self._batch:
            if one.ready.exception() is None:  # waits for it
                count += len(one.ready.result().crops)
                one.pixels = one.ready.result().pixels
        pixels = sum(one.pixels for one in (*self._batch, *self._going))
        if count >= self._faces or len(self._batch) == _PICTURES or pixels > _PIXELS:
            self._latest = len(self._batch)
            self._send()
        most = behind + self._latest - 1
        while len(self._going) > most or (pixels > _PIXELS and len(self._going) > 1):
            pixels -= self._going[0].pixels
            yield self._oldest()

    def drain(self) -> Iterator[tuple[_Job, Any]]:
        self._send()
        while self._going:
            yield self._oldest()

    def _oldest(self) -> tuple[_Job, Any]:
        item = self._going.popleft()
        assert item.done is not None
        error = item.done.exception()
        if error is not None and not isinstance(error, Exception):
            raise error  # an interrupt
        return item.job, item.done.result() if error is None else error

    def _send(self) -> None:
        batch, self._batch = self._batch, []
        sound = [item for item in batch if item.ready.exception() is None]
        faces = [item for item in sound if len(item.ready.result().crops)]
        restored = self._networks.submit(self._restore, [item.ready.result().crops for item in faces])
        places = {id(item): place for place, item in enumerate(faces)}
        for item in batch:
            item.done = self._writers.submit(
                self._finish, item.job, item.ready, restored, places.get(id(item))
            )
            item.ready = Future()  # The writer alone holds the picture from here on.
            self._going.append(item)

    def _finish(
        self,
        job: _Job,
        ready: Future[_Ready],
        restored: Future[list[Sequence[Tensor] | BaseException]],
        place: int | None,
    ) -> Any:
        picture = ready.result()
        crops = picture.crops if place is None else restored.result()[place]
        if isinstance(crops, BaseException):
            raise crops
        return self._steps.finish(job, picture, crops)

    def _restore(self, crops: list[Sequence[Tensor]]) -> list[Sequence[Tensor] | BaseException]:
        """Faces of several pictures together; where that fails, of each alone: one spoils no other."""
        if not crops:
            return []
        engine = self._free.get()
        try:
            return [*self._steps.restore(engine, crops)]
        except Exception as error:
            if len(crops) == 1:
                return [error]
        finally:
            self._free.put(engine)
        return [self._restore([one])[0] for one in crops]
