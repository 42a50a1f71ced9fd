"""The door of ComfyUI and InvokeAI: a clone of the repository in their folder of packs is a node pack.

ComfyUI calls ``comfy_entrypoint``, InvokeAI registers what is defined while it imports this file. Any other
program may import it, too: nothing of a host is imported then.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> Any:
    """Called by ComfyUI once it has loaded its own nodes."""
    _import_core(Path(__file__).resolve().parent / "gpen_nodes")
    from .comfy_nodes import GpenExtension

    return GpenExtension()


def _import_core(folder: Path) -> None:
    """Import the ``gpen_nodes`` that lies beside this file under its own name, leaving sys.path alone.

    The host loads a pack under a name made of its path. A relative import would give the core a second name,
    and with it a second copy of every resident model; an absolute one could find an older installed copy.
    """
    known = sys.modules.get("gpen_nodes")
    if known is not None:
        found = Path(known.__file__ or "").resolve().parent
        if found != folder:
            raise ImportError(
                f"gpen_nodes is already loaded from {found}, and this pack needs the one in {folder}. Keep "
                "one of the two: remove the other from the host's packs, or pip uninstall gpen-nodes."
            )
        return
    spec = importlib.util.spec_from_file_location("gpen_nodes", folder / "__init__.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} holds no package gpen_nodes. Clone the pack again.")
    module = sys.modules["gpen_nodes"] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules["gpen_nodes"]
        raise


def _register_with_invokeai() -> None:
    """Define InvokeAI's nodes. Where a package is missing, there are none, and the host's log says so."""
    from .invokeai_extension.packages import all_there

    if __name__ == "gpen_nodes":
        raise ImportError(
            "Rename the pack's folder, to gpen-nodes say: gpen_nodes is the name of a folder in it."
        )
    if all_there():
        _import_core(Path(__file__).resolve().parent / "gpen_nodes")
        from . import invoke_nodes  # noqa: F401


if "invokeai.app.invocations" in sys.modules:  # which loads the packs, and is no part of another host
    _register_with_invokeai()
