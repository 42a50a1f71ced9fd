"""The steps of one picture in a job: read and find, restore, paste and write."""

from __future__ import annotations

import dataclasses
import shutil
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..crops import restore_each, with_crops
from ..errors import ImageError
from ..faces import RestoreOptions
from ..host import LocalHost
from ..image_files import ImageFile, read_image_file, write_image_file
from ..images import resize
from ..inference import Restorer, Restorers, covering_size
from ..pipeline import FoundFaces, check_task, find_and_align, judge_and_paste
from .aligned import check_crop, crop_for, restored_crop
from .deliver import Delivery, Write
from .manifest import settings_key
from .plan import Job
from .results import Outcome, Restored, notes_on

__all__ = ["Engine", "Restoring", "StoppableHost"]


class StoppableHost(LocalHost):
    """A host that raises Ctrl-C in whatever thread it is asked, once the job is to end."""

    def __init__(self, device: str | torch.device | None, stopped: threading.Event, *more: Any) -> None:
        super().__init__(device, *more)
        self._stopped = stopped

    def check_interrupt(self) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt


@dataclass(frozen=True, eq=False)
class Engine:
    """A network, and the host on whose device it runs."""

    restorer: Restorer | Restorers
    host: LocalHost


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that has been read. As ``Ready`` of ``overlap``."""

    file: ImageFile
    key: str
    crops: Sequence[Tensor]
    found: FoundFaces | None = None

    @property
    def pixels(self) -> int:
        return self.file.image.shape[1] * self.file.image.shape[2]


class Restoring:
    """How each picture of a job is restored.

    Args:
        options: for every picture.
        settings: all that decides what is written, for the manifest.
        delivery: the way to the files' places.
        input_sizes: sides of the networks' faces.
        hosts: on whose devices faces are found, in turn.
        face_align: pictures are photos; else each is one aligned face.
        force: take what does not look like an aligned face.
        task: the network's, one of ``TASKS``.
        mask: [1, H, W] in [0, 1], for a network that fills; of every picture's size.

    Raises:
        OptionError: a task that is nothing for such pictures, or wants a mask.
    """

    def __init__(
        self,
        options: RestoreOptions,
        settings: dict[str, Any],
        delivery: Delivery,
        input_sizes: Sequence[int],
        hosts: Sequence[LocalHost],
        *,
        face_align: bool,
        force: bool = False,
        max_pixels: int | None = None,
        task: str = "restore",
        mask: Tensor | None = None,
    ) -> None:
        check_task(task, mask, photo=face_align)
        self.options, self._settings, self._delivery = options, settings, delivery
        self._sizes, self._hosts = input_sizes, hosts
        self._face_align, self._force, self._max_pixels = face_align, force, max_pixels
        self._task, self.mask = task, mask

    def read(self, job: Job) -> tuple[ImageFile, str]:
        """A picture and its key for the manifest, which is taken first: it may be changed meanwhile.

        Raises:
            ImageError: it cannot be read, has another size than the mask, or results would have too long
                names.
        """
        job.check_names()
        try:
            key = settings_key(job.source, self._settings)
        except OSError:
            key = ""  # Reading it will say why.
        file = read_image_file(job.source, self._max_pixels)
        if self.mask is not None and self.mask.shape[1:] != file.image.shape[1:3]:
            (height, width), (own_height, own_width) = self.mask.shape[1:], file.image.shape[1:3]
            raise ImageError(
                f"{job.source} has {own_width}×{own_height} px, and the mask {width}×{height}. Give a mask "
                "of the picture's size."
            )
        return file, key

    def prepare(self, job: Job) -> Picture:
        """Read a picture and find and align its faces."""
        file, key = self.read(job)
        host = self._hosts[zlib.crc32(job.name.encode("utf-8", "surrogateescape")) % len(self._hosts)]
        if self._face_align:
            found = find_and_align(
                file.image, self._sizes, self.options, task=self._task, mask=self.mask, host=host
            )
            return Picture(file, key, [face.crop for face in found.aligned], found)
        if not self._force and self._task != "seg2face":
            check_crop(file.image, self.options, host)
        size = covering_size(self._sizes, max(file.image.shape[1:3]))
        return Picture(file, key, [crop_for(self._task, file.image, self.mask, size)])

    @staticmethod
    def restore(engine: Engine, crops: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
        """The faces of several pictures together."""
        every = [crop for own in crops for crop in own]
        restored = iter(restore_each(engine.restorer, every, engine.host))
        return [[next(restored) for _ in own] for own in crops]

    def finish(self, job: Job, picture: Picture, crops: Sequence[Tensor]) -> Outcome:
        """Paste and write, from the restored crops."""
        if picture.found is not None:
            faces = with_crops(picture.found.aligned, crops)
            restored = Restored.of(judge_and_paste(picture.found, faces, self.options))
        else:
            both = picture.crops[0], crops[0]
            restored = restored_crop(self._task, picture.file.image, self.mask, both, self.options)
        return self.write(job, picture.file, picture.key, restored)

    def write(self, job: Job, file: ImageFile, key: str, restored: Restored) -> Outcome:
        """Write all that a picture becomes."""
        notes = notes_on(job.source, file)
        copied = _can_be_copied(job, file, restored)
        if self._task == "colorize" and file.gray and restored.changed:
            # Its profile, if it has one, is of grays.
            metadata = dataclasses.replace(file.metadata, icc_profile=None)
            file = dataclasses.replace(file, gray=False, metadata=metadata)
        if not restored.reports:
            state = "unchanged" if copied else f"only stored anew, as {job.output.suffix}"
            turns = "" if self.options.detect.quarter_turns else "--quarter_turns, "
            notes.append(
                f"{job.source}: no face found; the picture is {state}. Try a lower --min_score, {turns}"
                "a larger picture, or another --detector."
            )
        entry: dict[str, Any] = {
            "input": str(job.source),
            "output": str(job.output),
            "faces": restored.reports,
        }
        if file.damage:
            entry["damage"] = list(file.damage)
        self._delivery.deliver(job, key, _files(job, file, restored, copied), entry)
        return Outcome(entry, tuple(notes))


def _can_be_copied(job: Job, file: ImageFile, restored: Restored) -> bool:
    """Whether the file's own bytes are the result: JPEG loses something each time that it is encoded."""
    same = job.source.suffix.lower() == job.output.suffix.lower()
    return same and not restored.changed and not file.damage


def _files(job: Job, file: ImageFile, restored: Restored, copied: bool) -> dict[Path, Write]:
    """What writes each file that a picture becomes."""

    def image(pixels: Tensor, like: ImageFile | None = None) -> Callable[[Path], None]:
        return lambda path: write_image_file(path, pixels, like=like, overwrite=True)

    def copy(path: Path) -> None:
        shutil.copyfile(job.source, path)

    files: dict[Path, Write] = {job.output: copy if copied else image(restored.image, file)}
    if job.compare:
        before = resize(file.image, *restored.image.shape[1:3])
        both = torch.cat((before, restored.image), dim=2)
        files[job.compare] = image(both, dataclasses.replace(file, alpha=None))
    if job.faces:
        for number, *crops in restored.faces:
            for when, crop in zip(("aligned", "restored"), crops, strict=True):
                if crop is not None:
                    files[job.face_file(number, when)] = image(crop)
    return files
