"""True faces, varied and degraded on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..degradation import DegradationRecipe, degrade
from ..errors import ImageError
from ..facesets import FaceSet
from ..images import resize, to_network
from .seeds import generator_for

__all__ = ["TrainingPairs"]

_SEPIA = (0.8, 1.0, 1.3)  # exponents of red, green and blue: grays turn brown, black and white stay

_LIGHT = DegradationRecipe(
    scale=(1, 1),
    gamma=(0.7, 1.4),
    contrast=(0.6, 1),
    colour_shift=(-0.1, 0.1),
    blur_probability=0,
    motion_probability=0,
    noise_probability=0,
    jpeg_probability=0,
    colour_probability=0.3,
)


def vary(truth: Tensor, generator: torch.Generator) -> Tensor:
    """Make another true face out of one, [1, S, S, 3] in [0, 1]: variety that a small set of portraits lacks.

    Half of the faces are mirrored. All are moved by up to 2 % of the side, since landmarks are no more exact.
    One in ten becomes black and white, as old photographs are, and half of these are toned. Three in ten get
    another light; some of them look faded.
    What is gray, toned or faded stays so: the network learns to keep an image's colours.
    """
    mirrored, gray, tone = torch.rand(3, generator=generator).tolist()
    reach = round(truth.shape[1] * 0.02)
    shifts = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
    truth = truth.flip(2) if mirrored < 0.5 else truth
    for axis, shift in enumerate(shifts, start=1):
        pixels = torch.arange(truth.shape[axis]) + shift
        truth = truth.index_select(axis, pixels.clamp(0, truth.shape[axis] - 1))
    if gray < 0.1:
        truth = truth.mean(dim=3, keepdim=True).expand(-1, -1, -1, 3)
        if gray < 0.05:
            truth = truth ** torch.tensor(_SEPIA).lerp(torch.ones(3), tone)
    return degrade(truth, _LIGHT, generator)[0]


class TrainingPairs(Dataset):
    """Degraded and true face for every sample number of a run.

    Sample n depends on n and the seed alone. So a run is resumed by starting at a later number, and processes
    share a run by taking different numbers.

    Args:
        indices: of the faces to train on.
        skipped: file that lists faces which cannot be read, a line each. The next face of the epoch's order
            is taken in their place.
    """

    def __init__(
        self,
        faces: FaceSet,
        size: int,
        recipe: DegradationRecipe,
        *,
        seed: int,
        indices: Sequence[int],
        skipped: Path | None = None,
    ) -> None:
        self.faces, self.size, self.recipe, self.seed = faces, size, recipe, seed
        self.indices, self.skipped = np.array(indices), skipped
        self._order: tuple[int, np.ndarray] | None = None

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Two [3, size, size] in [-1, 1]: degraded, true.

        Raises:
            ImageError: no face at all can be read.
        """
        generator = generator_for(self.seed, 7919 * (number + 1))
        truth = vary(self._face(number).unsqueeze(0), generator)
        degraded, _ = degrade(truth, self.recipe, generator)
        pair = to_network(resize(torch.cat((degraded, truth)), self.size, self.size, mode="bilinear"))
        return pair[0], pair[1]

    def _face(self, number: int) -> Tensor:
        for index in self._order_of(number):
            try:
                return self.faces[int(index)]
            except ImageError as error:
                self._list(str(error))
        raise ImageError(
            f"None of the {len(self.indices)} faces to train on can be read. See {self.skipped}."
        )

    def _order_of(self, number: int) -> np.ndarray:
        """Faces for a sample number, in the order to try them: the first one that can be read is taken."""
        epoch, place = divmod(number, len(self.indices))
        if self._order is None or self._order[0] != epoch:
            generator = generator_for(self.seed, epoch)
            order = torch.randperm(len(self.indices), generator=generator).numpy()
            # Stored twice in a row, so that the order from any place on is one slice.
            self._order = epoch, np.tile(self.indices[order], 2)
        return self._order[1][place : place + len(self.indices)]

    def _list(self, line: str) -> None:
        """Add a line if it is not there yet, since every worker meets a damaged file in every epoch."""
        if self.skipped is None:
            return
        if not self.skipped.exists() or line not in self.skipped.read_text(encoding="utf-8").splitlines():
            with self.skipped.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
