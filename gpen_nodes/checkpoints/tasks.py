"""What a GPEN was trained to do. Its tensors don't tell: the file's metadata or its name does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["TASKS", "find_task"]

TASKS = ("restore", "colorize", "inpaint", "seg2face")
"""Restore a degraded face, colour a gray one, fill its missing parts, or make one of a map of its parts."""

# As the authors call them, GPEN-Colorization-1024 and so on, and others after them.
_NAMES = {
    "colorize": re.compile(r"colou?ri[sz]", re.IGNORECASE),
    "inpaint": re.compile(r"in-?paint", re.IGNORECASE),
    "seg2face": re.compile(r"seg(mentation)?[-_]?(2|to)[-_]?face", re.IGNORECASE),
}


def find_task(args: Mapping[str, Any], path: Path | None) -> str:
    """One of ``TASKS``.

    Args:
        args: of a checkpoint, whose entry ``task`` decides.
        path: of the file, whose name tells otherwise; its folders don't.
    """
    if args.get("task") in TASKS:
        return args["task"]
    name = "" if path is None else path.name
    return next((task for task, pattern in _NAMES.items() if pattern.search(name)), "restore")
