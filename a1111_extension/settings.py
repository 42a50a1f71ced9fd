"""What the face restorer does, on the host's page Settings → Face restoration."""
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import gradio as gr
from modules import shared

from .models import SHIPPED, model_files
from .widgets import CHOICES, slider

__all__ = ["add_options", "chosen_options"]

LABELS = {
    "model": "GPEN model",
    "detector": "GPEN face detector",
    "min_face": "GPEN: smallest face, in px",
    "strength": "GPEN strength",
    "softness": "GPEN mask softness",
}


def add_options() -> None:
    """Make the settings known to the host, with their defaults."""
    for name, label in LABELS.items():
        if name == "model":
            widget: tuple[Any, ...] = SHIPPED, gr.Dropdown, lambda: {"choices": list(model_files())}
        elif CHOICES[name].choices:
            widget = CHOICES[name].default, gr.Radio, {"choices": list(CHOICES[name].choices)}
        else:
            widget = CHOICES[name].default, gr.Slider, slider(name)
        default, component, args = widget
        refresh = {"refresh": lambda: None} if name == "model" else {}
        info = shared.OptionInfo(default, label, component, args, **refresh)
        info.section = ("face-restoration", "Face restoration")
        shared.opts.add_option(f"gpen_{name}", info)


def chosen_options() -> dict[str, Any]:
    """The settings as options of ``restore``."""
    return {name: shared.opts.data[f"gpen_{name}"] for name in LABELS}
