"""Schemas of nodes: inputs that follow the core's options, texts that follow the locale."""
# pyright: reportMissingImports=false

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from gpen_nodes import FilmOptions

__all__ = [
    "BoundingBoxes",
    "GpenFaces",
    "GpenModel",
    "Segments",
    "advanced",
    "chosen",
    "define",
    "detection_inputs",
    "integer",
    "share",
]

GpenModel = io.Custom("GPEN_MODEL")
GpenFaces = io.Custom("GPEN_FACES")
BoundingBoxes = io.Custom("BOUNDING_BOX")  # the host's own, which older versions don't name
Segments = io.Custom("SEGS")  # Impact Pack's
OPTIONS = FilmOptions().described()


def define(
    node_id: str, inputs: list[io.Input], outputs: list[io.Output], *aliases: str, **more: Any
) -> io.Schema:
    """A schema with its texts, without what this version of the host doesn't know."""
    texts = _texts()[node_id]
    for one in inputs:
        one.tooltip = texts["inputs"][one.id]["tooltip"]
    for k, one in enumerate(outputs):
        one.tooltip = texts["outputs"][str(k)]["tooltip"]
        one.display_name = one.id  # else older hosts show the type
    fields = {
        "node_id": node_id,
        "display_name": texts["display_name"],
        "description": texts["description"],
        "category": "image/face restoration",
        "search_aliases": ["face restore", "GPEN", *aliases],
        "inputs": inputs,
        "outputs": outputs,
        **more,
    }
    return io.Schema(**{k: v for k, v in fields.items() if k in io.Schema.__dataclass_fields__})


@cache
def _texts() -> dict[str, Any]:
    """The English texts are a locale like any other: each stands in one place."""
    path = Path(__file__).parents[1] / "locales" / "en" / "nodeDefs.json"
    return json.loads(path.read_text(encoding="utf-8"))


def advanced(entry: io.Input) -> io.Input:
    """Folded away at first, where the host does that. Newer ones have a keyword for it, older ones none."""
    entry.extra_dict["advanced"] = True
    return entry


def integer(id: str, default: int, high: int, low: int = 0, step: int = 1) -> io.Input:
    return io.Int.Input(id, default=default, min=low, max=high, step=step)


def share(id: str, default: float, low: float = 0, **more: Any) -> io.Input:
    return io.Float.Input(id, default=default, min=low, max=1, step=0.01, **more)


def chosen(id: str, choices: tuple[str, ...] = (), **more: Any) -> io.Input:
    """A widget for one of the core's options, with its default, range and choices (or some of them)."""
    one = OPTIONS[id]
    if one.kind is bool:
        return io.Boolean.Input(id, default=one.default, **more)
    if one.choices:
        return io.Combo.Input(id, options=list(choices or one.choices), default=one.default, **more)
    step = 0.01
    low = one.low + step * one.above
    return io.Float.Input(id, default=one.default, min=low, max=one.high, step=step, **more)


def detection_inputs() -> list[io.Input]:
    """Which faces are found: the same for every node that looks for them."""
    rarely = ("min_score", "quarter_turns", "detector", "template")
    return [integer("min_face", 0, 8192), *(advanced(chosen(id)) for id in rarely)]
