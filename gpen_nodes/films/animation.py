"""Animated GIF, WebP and PNG by Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..atomic import replacing
from ..errors import ImageError
from ..images import from_uint8, to_uint8
from .film import Change, Frame

__all__ = ["Animation"]

_FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
_USUAL = 100  # milliseconds, where a frame has no duration: what browsers take
_KEPT = ("loop", "icc_profile", "exif", "xmp")


class Animation:
    """An animated picture; its frames have 8 bits, and transparency that stays."""

    def __init__(self, path: Path) -> None:
        self.path, self.notes = path, ()
        with self._opened() as file:
            self.length: int | None = getattr(file, "n_frames", 1)

    def frames(self) -> Iterator[Frame]:
        time = 0.0
        with self._opened() as file:
            for number in range(getattr(file, "n_frames", 1)):
                try:
                    file.seek(number)
                    pixels = np.asarray(file.convert("RGBA"))
                except (OSError, EOFError, SyntaxError, ValueError) as error:
                    raise ImageError(f"{self.path} is damaged from frame {number} on: {error}.") from error
                duration = file.info.get("duration") or _USUAL
                yield Frame(from_uint8(pixels[None, ..., :3]), time, (pixels[..., 3], duration))
                time += duration / 1000

    def rewrite(self, target: Path, change: Change) -> None:
        kind = _FORMATS.get(target.suffix.lower())
        if kind is None:
            raise ImageError(
                f"{target}: an animated picture is written as one of {', '.join(_FORMATS)}. Name such a file."
            )
        durations: list[float] = []
        changed = (_picture(frame, image, durations) for frame, image in change(self.frames()))
        with self._opened() as file:
            options: dict[str, Any] = {k: file.info[k] for k in _KEPT if k in file.info}
        if kind == "WEBP":
            options |= {"quality": 95}
        if kind == "GIF":
            options["disposal"] = 2 if any((frame.source[0] < 255).any() for frame in self.frames()) else 1
        with replacing(target) as temporary:
            first = next(changed)
            # Pillow looks up a GIF's durations as it takes its frames, of which it keeps one byte a pixel. Of
            # the others it wants everything beforehand.
            others = changed if kind == "GIF" else list(changed)
            options |= {"save_all": True, "append_images": others, "duration": durations}
            first.save(temporary, kind, **options)

    def _opened(self) -> Image.Image:
        try:
            return Image.open(self.path, formats=tuple({*_FORMATS.values()}))
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(f"{self.path} cannot be read as an animated picture: {error}.") from error


def _picture(frame: Frame, image: Tensor | None, durations: list[float]) -> Image.Image:
    alpha, duration = frame.source
    durations.append(duration)
    pixels = to_uint8((frame.image if image is None else image)[0])
    if (alpha == 255).all():
        return Image.fromarray(pixels)
    return Image.fromarray(torch.cat([torch.from_numpy(pixels), torch.tensor(alpha)[..., None]], -1).numpy())
