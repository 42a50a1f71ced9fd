"""Stable Diffusion WebUI runs this at each start, ComfyUI's manager once, where it does nothing."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).parent / "a1111_extension" / "install.py"), run_name="__main__")
