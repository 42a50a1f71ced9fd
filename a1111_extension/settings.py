"""What the face restorer does, on the host's page Settings → Face restoration."""
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import gradio as gr
from modules import shared

from gpen_nodes import DETECTORS

from .models import SHIPPED, model_files

__all__ = ["add_options", "chosen_options"]

DEFAULTS = {"model": SHIPPED, "detector": "mtcnn", "min_face": 0, "strength": 1.0, "softness": 0.4}


def add_options() -> None:
    """Make the settings known to the host, with their defaults."""
    share = {"minimum": 0, "maximum": 1, "step": 0.01}
    known: dict[str, tuple[str, Any, Any]] = {
        "model": ("GPEN model", gr.Dropdown, lambda: {"choices": list(model_files())}),
        "detector": ("GPEN face detector", gr.Radio, {"choices": list(DETECTORS)}),
        "min_face": ("GPEN: smallest face, in px", gr.Slider, {"minimum": 0, "maximum": 512, "step": 1}),
        "strength": ("GPEN strength", gr.Slider, share),
        "softness": ("GPEN mask softness", gr.Slider, share | {"minimum": 0.01}),
    }
    for name, (label, component, args) in known.items():
        refresh = {"refresh": lambda: None} if name == "model" else {}
        info = shared.OptionInfo(DEFAULTS[name], label, component, args, **refresh)
        info.section = ("face-restoration", "Face restoration")
        shared.opts.add_option(f"gpen_{name}", info)


def chosen_options() -> dict[str, Any]:
    """The settings as options of ``restore``."""
    return {name: shared.opts.data[f"gpen_{name}"] for name in DEFAULTS}
