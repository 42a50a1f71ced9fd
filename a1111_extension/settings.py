"""What the face restorer does, and what the route takes, on the host's page Settings."""
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import gradio as gr
from modules import shared

from .host import SDNEXT
from .models import SHIPPED, model_files
from .widgets import LABELS, OPTIONS, as_options, control, explain

__all__ = ["add_options", "chosen_options", "limit"]

LIMITS = {
    "max_megabytes": (100, "GPEN's route: largest request, in MB", 4000),
    "max_megapixels": (50, "GPEN's route: max_pixels of a picture, in megapixels", 1000),
}
"""Default, label and end of the slider."""

_SECTION = ("gpen", "GPEN") if SDNEXT else ("face-restoration", "Face restoration")


def add_options() -> None:
    """Make the settings known to the host, with their defaults; none for a restorer where there are none."""
    if not SDNEXT:
        _add_model()
        for name, label in LABELS.items():
            component, default, more = control(name)
            # Asked for whenever the page is made: detectors come and go.
            args: Any = (lambda: control("detector")[2]) if name == "detector" else more
            _add(name, shared.OptionInfo(default, f"GPEN: {label.lower()}", component, args), explain(name))
    for name, (default, label, end) in LIMITS.items():
        info = shared.OptionInfo(default, label, gr.Slider, {"minimum": 1, "maximum": end, "step": 1})
        info.restrict_api = True  # whom it limits may not change it
        _add(name, info, f"{default} by default")


def _add_model() -> None:
    args = lambda: {"choices": list(model_files())}  # noqa: E731  # as hosts take it
    _add("model", shared.OptionInfo(SHIPPED, "GPEN model", gr.Dropdown, args, refresh=lambda: None))


def _add(name: str, info: Any, text: str = "") -> None:
    info.section = _SECTION
    shared.opts.add_option(f"gpen_{name}", info.info(text) if text else info)


def chosen_options() -> dict[str, Any]:
    """The restorer's settings as options of ``restore``."""
    data = shared.opts.data
    chosen = {name: data.get(f"gpen_{name}", OPTIONS[name].default) for name in LABELS}
    return {"model": data.get("gpen_model", SHIPPED), **as_options(chosen)}


def limit(name: str) -> int:
    """One of ``LIMITS``, in bytes or pixels."""
    return int(shared.opts.data.get(f"gpen_{name}", LIMITS[name][0]) * 1_000_000)
