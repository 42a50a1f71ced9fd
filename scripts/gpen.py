"""Stable Diffusion WebUI loads this file of an extension; ComfyUI does not."""

from a1111_extension.scripts.gpen import GpenExtras, GpenGeneration, register

__all__ = ["GpenExtras", "GpenGeneration"]

register(__file__)
