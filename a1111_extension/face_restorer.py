"""GPEN among the host's face restorers: "Restore faces" in txt2img and img2img."""
# pyright: reportMissingImports=false

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from modules import face_restoration, scripts

from gpen_nodes import GpenError, from_uint8, to_uint8

from .host import Stopped
from .restore import count, restore
from .sentences import FAILURES, tell
from .settings import chosen_options

__all__ = ["GpenFaceRestorer", "GpenGeneration"]

_running: list[weakref.ref[Any]] = []  # generations, the innermost last; the host doesn't tell the restorer


class GpenFaceRestorer(face_restoration.FaceRestoration):
    def name(self) -> str:
        return "GPEN"

    def restore(self, np_image: np.ndarray, p: Any = None) -> np.ndarray:
        """RGB uint8 [H, W, 3] with its faces restored.

        A failure costs no image of a generation: it stays as it is, and its infotext and the page say why.
        """
        p = p or next((one for ref in reversed(_running) if (one := ref()) is not None), None)
        try:
            result = restore(from_uint8(np_image), **chosen_options())
        except (Stopped, *FAILURES) as error:
            sentence = tell(error)
            if p is None:
                kind = type(error) if isinstance(error, (Stopped, GpenError)) else RuntimeError
                raise kind(sentence) from error  # which the host's API passes on
            p.comment(f"GPEN: {sentence}")
            _note(p, f"not restored: {sentence}", restored=False)
            return np_image
        _note(p, f"{count(result)} faces", restored=bool(result.faces))
        return to_uint8(result.image[0])


def _note(p: Any, outcome: str, *, restored: bool) -> None:
    """Write what became of an image into its infotext, where the host claims that its faces are restored."""
    if p is not None:
        p.extra_generation_params["GPEN restorer"] = outcome
        p.extra_generation_params.pop("Face restoration", None)  # of an earlier image of the batch
        if not restored:
            p.extra_generation_params["Face restoration"] = None  # stands above the host's, and takes it out


class GpenGeneration(scripts.Script):
    """Knows which generation is running. It has no place in the page."""

    def title(self) -> str:
        return "GPEN face restorer"

    def show(self, is_img2img: bool) -> Any:
        return scripts.AlwaysVisible

    def process(self, p: Any, *args: Any) -> None:
        _running.append(weakref.ref(p))

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        _running[:] = [ref for ref in _running if ref() is not None and ref() is not p]
