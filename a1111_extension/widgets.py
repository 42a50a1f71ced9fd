"""The core's options as controls of the host's page, and what those give as options again."""
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import gradio as gr

from gpen_nodes import ORDERS, RestoreOptions

from .models import detectors

__all__ = ["LABELS", "OPTIONS", "as_options", "control", "explain"]

OPTIONS = RestoreOptions().described()
LABELS = {
    "detector": "Face detector",
    "min_face": "Smallest face, in px",
    "strength": "Strength",
    "softness": "Mask softness",
    "min_score": "Least score of a face",
    "quarter_turns": "Find faces that lie or stand on their head",
    "max_faces": "Most faces of a picture",
    "order": "Which faces come first",
    "template": "Template of the model",
    "colour": "Whose colours",
    "keep_detail": "Keep detail of the picture",
    "grain": "Give grain back",
    "keep_front": "Keep what is in front of a face",
    "guard_identity": "Keep the person",
}
"""The options that pages show, and how they call them."""

_ENDS = {"min_face": 512, "max_faces": 64}  # of sliders for options that have no highest value


def control(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """For an option: the component, its value, and what else it is made with.

    Where an option may be left open, 0 on a slider stands for that.
    """
    one = OPTIONS[name]
    if one.kind is bool:
        return gr.Checkbox, one.default, {}
    if one.choices:
        return gr.Dropdown, one.default, {"choices": _choices(name)}
    step = 1 if name in _ENDS else 0.01
    low = 0 if one.default is None else one.low + step * one.above
    ends = {"minimum": low, "maximum": _ENDS.get(name, one.high), "step": step}
    return gr.Slider, float(one.default or 0), ends


def _choices(name: str) -> list[str]:
    """Detectors that can run here; of orders those that need no reference and no point."""
    return list({"detector": detectors(), "order": ORDERS}.get(name, OPTIONS[name].choices))


def explain(name: str) -> str:
    """What an option does, in a sentence for the page."""
    one = OPTIONS[name]
    return f"{one.text} 0 takes all." if one.default is None else one.text


def as_options(values: dict[str, Any]) -> dict[str, Any]:
    """What controls, or a host's JSON, give for options, as the core takes it: 3.0 as 3, 0 as open.

    Raises:
        ValueError: no number where one is expected.
    """
    options = dict(values)
    for name in values.keys() & OPTIONS.keys():
        one, value = OPTIONS[name], values[name]
        if one.default is None and not value:
            options[name] = None
        elif one.kind in (int, float):
            options[name] = one.kind(value)
    return options
