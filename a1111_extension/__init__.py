"""The pack as an extension of Stable Diffusion WebUI: A1111, Forge, reForge and SD.Next.

``scripts/gpen.py`` registers everything with the host. All classes live in this package, since the host loads
scripts without a place in sys.modules.
"""

from __future__ import annotations

from pathlib import Path

import gpen_nodes

_ROOT = Path(__file__).resolve().parents[1]

if Path(gpen_nodes.__file__).resolve().parents[1] != _ROOT:
    raise ImportError(
        f"gpen_nodes is already loaded from {Path(gpen_nodes.__file__).parent}, and this extension needs the "
        f"one in {_ROOT}. Keep one of the two: remove the other extension, or pip uninstall gpen-nodes."
    )
