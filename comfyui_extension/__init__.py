"""ComfyUI's door: nodes over the core. A body converts, calls, and converts back."""
