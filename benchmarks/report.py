"""How the benchmarks say what they measured: the machine, a table, JSON."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Row", "describe_machine", "table", "write_json"]

Row = dict[str, Any]
"""Figures by name. None was not measured; ``unavailable`` says why there are none."""


def describe_machine(*packages: str) -> str:
    """The processor, what it has for bf16, and the versions of Python and of packages, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    info = cpuinfo.read_text() if cpuinfo.exists() else ""
    name = re.search(r"model name\s*: (.*)", info)
    flags = [flag for flag in ("avx512_bf16", "amx_bf16") if re.search(rf"\b{flag}\b", info)]
    parts = [name[1] if name else platform.processor() or platform.machine(), *flags]
    parts.append(f"Python {platform.python_version()}")
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            parts.append(f"{package} {importlib.metadata.version(package)}")
    return ", ".join(parts)


def table(rows: Sequence[Row], columns: Mapping[str, tuple[str, str]]) -> str:
    """A Markdown table, aligned; ``columns`` gives heading and format by a figure's name.

    A row that is unavailable says so after its first two columns.
    """
    lines = [[heading for heading, _ in columns.values()]]
    for row in rows:
        figures = [(row.get(name), form) for name, (_, form) in columns.items()]
        cells = ["not measured" if figure is None else format(figure, form) for figure, form in figures]
        lines.append([*cells[:2], f"not available: {row['unavailable']}"] if "unavailable" in row else cells)
    widths = [
        max(map(len, column)) for column in zip(*(n for n in lines if len(n) == len(columns)), strict=True)
    ]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.rjust(width) for cell, width in zip(line, widths, strict=False))} |"
        for line in lines
    )


def write_json(rows: Sequence[Row], path: Path | None) -> None:
    """Write rows as a list of objects; without a path, nothing."""
    if path is not None:
        path.write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n")
