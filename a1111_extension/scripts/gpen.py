"""The door: everything that the host has to know of. The root's ``scripts/gpen.py`` calls it at each load."""
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from modules import script_callbacks, shared

from a1111_extension.api import add_routes
from a1111_extension.extras import GpenExtras
from a1111_extension.host import SDNEXT
from a1111_extension.models import model_folders
from a1111_extension.settings import add_options

if SDNEXT:
    GpenFaceRestorer = GpenGeneration = None
else:
    from a1111_extension.face_restorer import GpenFaceRestorer, GpenGeneration

__all__ = ["GpenExtras", "GpenGeneration", "register"]

ROOT = Path(__file__).resolve().parents[2]


def register(script: str) -> None:
    """Register with the host, which forgets callbacks at each "Reload UI", but no face restorers.

    Args:
        script: the file that the host loads; it has to lie beside this package.
    """
    if Path(script).resolve().parents[1] != ROOT:
        raise ImportError(f"GPEN is already loaded from {ROOT}; remove one of the two extensions.")
    with suppress(OSError):  # a folder that can't be written to may still be read
        model_folders()[0].mkdir(parents=True, exist_ok=True)
    if GpenFaceRestorer is not None:
        others = [known for known in shared.face_restorers if known.name() != "GPEN"]
        shared.face_restorers[:] = [*others, GpenFaceRestorer()]
    add_options()
    # For each frame of the stack a host looks through all of its modules, to learn who registers; a thread's
    # stack is short.
    thread = Thread(target=lambda: script_callbacks.on_app_started(_started))
    thread.start()
    thread.join()


def _started(demo: Any, app: Any) -> None:
    """Forge and reForge leave extensions on sys.path, where our tests and scripts would answer to others."""
    add_routes(app)
    sys.path[:] = [folder for folder in sys.path if not folder or Path(folder).resolve() != ROOT]
