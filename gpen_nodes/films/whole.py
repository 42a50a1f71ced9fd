"""The whole way: a film, or a batch of images that is one, with its faces restored."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..atomic import replacing
from ..errors import OptionError
from ..host import Host, LocalHost
from ..images import as_batch
from ..inference import Restorer, Restorers
from ..options import gather
from .film import ANIMATION_SUFFIXES, Film, Frame
from .following import TrackChoice, choose_tracks, follow_faces
from .options import FilmOptions
from .restoring import restored_frames

__all__ = ["RestoredFrames", "open_film", "restore_film", "restore_frames"]


def open_film(path: Path, *, encoder: str | None = None, crf: float | None = None) -> Film:
    """A film by what it is: a folder of frames, an animated picture, or a file that PyAV reads.

    Args:
        encoder, crf: as ``VideoFile`` takes them; others have no use for them.

    Raises:
        ImageError: it cannot be read.
        MissingWeightsError: PyAV is wanted and not installed.
    """
    # A host that has frames already needs none of these.
    if path.is_dir():
        from .frame_folder import FrameFolder

        return FrameFolder(path)
    if path.suffix.lower() in ANIMATION_SUFFIXES:
        from .animation import Animation

        return Animation(path)
    from .video import VideoFile

    return VideoFile(path, encoder=encoder, crf=crf)


def _check_task(restorer: Restorer | Restorers) -> None:
    if restorer.task != "restore":
        raise OptionError(
            f"A model for the task {restorer.task} is for pictures, and this is a film. Choose one that "
            "restores faces."
        )


def restore_film(
    film: Film,
    target: Path,
    restorer: Restorer | Restorers,
    options: FilmOptions | None = None,
    *,
    person: Tensor | None = None,
    weights: str | Path | None = None,
    host: Host | None = None,
    **keywords: Any,
) -> list[TrackChoice]:
    """Restore the faces of a film and write it; memory does not grow with its length, but for some numbers.

    It is read twice: first all faces are followed, then each frame is restored.

    Args:
        film: see ``open_film``.
        target: whole in the end, or as it was. A film without a face to restore is copied, byte for byte.
        options: see ``FilmOptions``, whose fields and those of its parts are keywords, too.
        person: [B, H, W, C] photos of the only one to be restored.
        weights: MobileFaceNet.onnx; None looks in the usual places, and without a person does without.
        host: device, progress and interrupts; None takes the best device of this machine.

    Returns:
        For each face whether it was restored.

    Raises:
        GpenError: the film cannot be read or written, or an option makes no sense.
        OSError: the file system's own.
    """
    _check_task(restorer)
    options, host = gather(FilmOptions, options, keywords), host or LocalHost()
    tracks = follow_faces(film.frames(), options, host, film.length, weights)
    choices = choose_tracks(tracks, options, person, weights)
    chosen = [one.track for one in choices if one.selected]
    if not chosen and film.path.is_file() and film.path.suffix.lower() == target.suffix.lower():
        with replacing(target) as temporary:
            shutil.copyfile(film.path, temporary)
    else:
        film.rewrite(
            target, lambda frames: restored_frames(frames, chosen, restorer, options, host, film.length)
        )
    return choices


@dataclass(frozen=True, eq=False)
class RestoredFrames:
    """What became of a batch of frames.

    Attributes:
        image: [B, H, W, C] as the input.
        choices: for each face whether it was restored.
    """

    image: Tensor
    choices: tuple[TrackChoice, ...]

    @property
    def text(self) -> str:
        """What was done, for reading: a line for each face."""
        return "\n".join(map(str, self.choices)) or "no face found, unchanged"


def restore_frames(
    images: Tensor,
    restorer: Restorer | Restorers,
    options: FilmOptions | None = None,
    *,
    rate: float = 25,
    person: Tensor | None = None,
    weights: str | Path | None = None,
    host: Host | None = None,
    **keywords: Any,
) -> RestoredFrames:
    """Restore the faces of a batch of images that follow each other, as ``restore_film`` does.

    Beside the batch and the result, which are of one size, a few frames are held at a time.

    Args:
        images: [B, H, W, C] in [0, 1], C of 3 or 4.
        rate: frames in a second.
        options, person, weights, host: as ``restore_film`` takes them.

    Raises:
        GpenError: an unusable image or option.
    """
    _check_task(restorer)
    options, host = gather(FilmOptions, options, keywords), host or LocalHost()
    batch = as_batch(images)

    def frames() -> Iterator[Frame]:
        return (Frame(batch[k : k + 1], k / rate) for k in range(len(batch)))

    tracks = follow_faces(frames(), options, host, len(batch), weights)
    choices = choose_tracks(tracks, options, person, weights)
    result, chosen = batch.clone(), [one.track for one in choices if one.selected]
    if chosen:
        done = restored_frames(frames(), chosen, restorer, options, host, len(batch))
        for number, (_, image) in enumerate(done):
            if image is not None:
                result[number] = image[0]
    return RestoredFrames(result, tuple(choices))
