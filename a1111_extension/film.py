"""A film of SD.Next's Process Video: its faces followed and restored, all else of it as it is."""
# pyright: reportMissingImports=false

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from modules import paths, shared

import gpen_nodes
from gpen_nodes import DETECTORS, open_film

from .host import WebuiHost
from .models import SHIPPED, find_detector
from .restore import AUTO, loaded

__all__ = ["restore_film"]

# As good as not to be told from the frames; what every browser plays.
_ENCODER, _QUALITY = "libx264", 16
_PASSES = "Following faces", "Restoring faces"


def restore_film(path: str, options: dict[str, Any]) -> tuple[str, str, tuple[str, ...]]:
    """Restore a film into the host's folder of videos; a few frames at a time are in memory.

    Args:
        path: of the film, which stays as it is.
        options: of ``restore``.

    Returns:
        The new film; in how many of its frames there are restored faces, such as ``2 of 3 frames``; a
        sentence on each thing that is missing in it.

    Raises:
        Stopped, GpenError, OSError: as ``restore``; nothing of the new film is left then.
    """
    chosen = {"model": SHIPPED, "size": None, "task": AUTO, **options}
    film, host = open_film(Path(path), encoder=_ENCODER, crf=_QUALITY), _FilmHost()
    with loaded(chosen.pop("model"), chosen.pop("size"), chosen.pop("task"), host) as restorer:
        weights = find_detector(chosen.get("detector", DETECTORS[0]))
        target = _new_file(Path(path))
        choices = gpen_nodes.restore_film(
            film, target, restorer, host=host, detector_weights=weights, **chosen
        )
    tracks = [one.track for one in choices if one.selected]
    restored = {track.first + number for track in tracks for number in range(len(track))}
    return str(target), f"{len(restored)} of {host.frames} frames", film.notes


class _FilmHost(WebuiHost):
    """Shows each pass over a film as a job.

    Attributes:
        frames: how many the film has, once all were read.
    """

    frames = 0

    def stage(self, name: str, done: int, total: int) -> None:
        super().stage(name, done, total)
        if name in _PASSES:
            state, self.frames = shared.state, total
            state.job_no, state.job_count = _PASSES.index(name), len(_PASSES)
            state.sampling_step, state.sampling_steps = done, total
            state.textinfo += f", {done} of {total} frames"


def _new_file(path: Path) -> Path:
    """In the host's folder of videos; what is there stays. MP4, unless what lies in the film may need MKV."""
    opts = shared.opts
    folder = Path(paths.resolve_output_path(opts.outdir_samples, opts.outdir_video))
    folder.mkdir(parents=True, exist_ok=True)
    suffix = ".mkv" if path.suffix.lower() == ".mkv" else ".mp4"
    names = (f"{path.stem}-gpen{f'-{number}' if number else ''}{suffix}" for number in count())
    return next(file for name in names if not (file := folder / name).exists())
