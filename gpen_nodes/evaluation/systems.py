"""What is compared: models, results of other systems, and what needs neither."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol as Interface

import numpy as np
from PIL import Image, ImageFilter
from torch import Tensor

from ..errors import GpenError
from ..host import Host
from ..images import from_uint8, resize, to_uint8
from ..inference import Restorer
from .samples import PictureFolder, Sample

__all__ = ["Bicubic", "Model", "Results", "System", "Unsharp", "Untouched"]


class System(Interface):
    """Anything that gives a better image for a bad one."""

    name: str

    def restore(self, sample: Sample) -> Tensor:
        """[1, H, W, 3] in [0, 1], of any size."""
        ...


class Untouched:
    """The degraded image as a system is given it."""

    name = "degraded"

    def restore(self, sample: Sample) -> Tensor:
        return _given(sample)


class Bicubic:
    """The small image enlarged by bicubic interpolation."""

    name = "bicubic"

    def restore(self, sample: Sample) -> Tensor:
        image = _given(sample)
        height, width = image.shape[1:3]
        small = resize(image, round(height / sample.scale), round(width / sample.scale), mode="bilinear")
        return resize(small, height, width)


class Unsharp:
    """Bicubic, then Pillow's unsharp mask as it comes: radius 2, 150 %, threshold 3."""

    name = "unsharp"

    def restore(self, sample: Sample) -> Tensor:
        pixels = to_uint8(Bicubic().restore(sample)[0])
        sharpened = Image.fromarray(pixels).filter(ImageFilter.UnsharpMask())
        return from_uint8(np.array(sharpened)).unsqueeze(0)


class Model:
    """A network of this pack."""

    def __init__(self, name: str, restorer: Restorer, host: Host) -> None:
        self.name, self.restorer, self.host = name, restorer, host

    def restore(self, sample: Sample) -> Tensor:
        return self.restorer.restore(_given(sample), self.host)


class Results:
    """A folder of images that any system restored; with a subfolder for each level, if it has them."""

    def __init__(self, name: str, folder: str | Path) -> None:
        self.name, self.folder = name, Path(folder)
        self._open: dict[Path, PictureFolder] = {}

    def restore(self, sample: Sample) -> Tensor:
        own = self.folder / sample.level
        return self._opened(own if own.is_dir() else self.folder).read(sample.name)

    def _opened(self, folder: Path) -> PictureFolder:
        if folder not in self._open:
            self._open[folder] = PictureFolder(folder)
        return self._open[folder]


def _given(sample: Sample) -> Tensor:
    if sample.degraded is None:
        raise GpenError(f"{sample.name} has no degraded picture.")
    return sample.degraded
