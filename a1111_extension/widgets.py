"""The core's options as what sliders and lists of the page need."""

from __future__ import annotations

from typing import Any

from gpen_nodes import RestoreOptions

__all__ = ["CHOICES", "slider"]

CHOICES = RestoreOptions().described()
LARGEST = 512  # px, as far as a slider for a face's side goes


def slider(name: str) -> dict[str, Any]:
    """Ends and step of an option's slider."""
    one = CHOICES[name]
    step = 1 if one.high > LARGEST else 0.01
    return {"minimum": one.low + step * one.above, "maximum": min(one.high, LARGEST), "step": step}
