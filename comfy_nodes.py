"""ComfyUI's nodes as the pack registers them; ``comfyui_extension/`` holds what they are made of."""

from __future__ import annotations

if __package__:  # as a part of the pack, under whatever name the host gave it
    from .comfyui_extension.host import ComfyHost
    from .comfyui_extension.nodes import GpenExtension
else:
    from comfyui_extension.host import ComfyHost
    from comfyui_extension.nodes import GpenExtension

__all__ = ["ComfyHost", "GpenExtension"]
