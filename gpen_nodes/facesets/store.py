"""Aligned faces as one array of pixels, as ``gpen-nodes prepare`` writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from ..atomic import replacing
from ..errors import ImageError
from ..images import from_uint8
from .names import person_of

__all__ = ["PIXELS", "FaceStore"]

PIXELS, SOURCES = "faces.npy", "faces.json"


class FaceStore:
    """Aligned faces of one size in a folder.

    ``faces.npy`` holds their pixels, uint8 [N, S, S, 3] RGB, and ``faces.json`` for each the photo that it is
    from (``source``), as many pixels of the photo as its side covers (``true_size``), and the number of the
    person whom it shows, if likeness was measured (``person``). Older stores have the photos' names alone.

    Raises:
        ImageError: the files are missing, damaged, or do not belong together.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = folder
        pixels, sources = Path(folder) / PIXELS, Path(folder) / SOURCES
        if not pixels.is_file():
            raise ImageError(
                f"No aligned faces in {folder}: expected {PIXELS}. Make them from a folder of photos with "
                "gpen-nodes prepare."
            )
        try:
            self.pixels = np.lib.format.open_memmap(pixels, mode="r")
            told = [
                known if isinstance(known, dict) else {"source": known}
                for known in json.loads(sources.read_text(encoding="utf-8"))
            ]
            self.sources: list[str] = [known["source"] for known in told]
            self.true_sizes = np.array([known.get("true_size", np.nan) for known in told], np.float64)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ImageError(
                f"{PIXELS} or {SOURCES} in {folder} cannot be read: {error}. Prepare them anew."
            ) from error
        self.persons = [
            f"person {known['person']}" if "person" in known else person_of(known["source"]) for known in told
        ]
        if self.pixels.dtype != np.uint8 or self.pixels.shape[1:] != (*self.pixels.shape[1:2] * 2, 3):
            raise ImageError(
                f"{pixels} holds {self.pixels.dtype} of shape {self.pixels.shape}; expected uint8 "
                "[N, S, S, 3]. Prepare the faces anew."
            )
        if len(self.sources) != len(self.pixels):
            raise ImageError(
                f"{folder} holds {len(self.pixels)} faces and {len(self.sources)} sources; expected one for "
                "each. Prepare them anew."
            )

    @staticmethod
    def write(
        folder: str | Path,
        pixels: np.ndarray,
        sources: Sequence[str],
        true_sizes: Sequence[float] = (),
        persons: Sequence[int] = (),
    ) -> None:
        """Write a store of uint8 [N, S, S, 3]; both files or none.

        Args:
            sources: the photo that each face is from.
            true_sizes, persons: see ``FaceStore``; one for each face, or none at all.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        told: list[dict[str, object]] = [{"source": source} for source in sources]
        for name, values in (("true_size", true_sizes), ("person", persons)):
            for known, value in zip(told, values, strict=bool(values)):
                known[name] = value
        with replacing(folder / PIXELS) as pixels_file, replacing(folder / SOURCES) as sources_file:
            np.save(pixels_file, pixels)
            sources_file.write_text(json.dumps(told), encoding="utf-8")

    def __reduce__(self) -> tuple[type[FaceStore], tuple[str | Path]]:
        """Pickle the folder alone: a worker that is not forked maps the pixels itself."""
        return FaceStore, (self.folder,)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        """One face, [S, S, 3] in [0, 1]."""
        return from_uint8(np.array(self.pixels[index]))
