"""What has become of a job's pictures or films, for the user and the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..atomic import remedy, replacing
from ..batch import Outcome
from ..errors import OptionError
from .inputs import say

__all__ = ["Tally", "write_report"]


def write_report(report: str, kind: str, entries: list[dict[str, Any]]) -> None:
    """Write ``--report``: JSON with the entries under ``kind``, such as "images".

    Raises:
        OptionError: it cannot be written.
    """
    try:
        Path(report).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(report)) as path:
            path.write_text(json.dumps({kind: entries}, indent=2) + "\n")
    except OSError as error:
        raise OptionError(f"--report {report} cannot be written: {remedy(error)}") from error


class Tally:
    """What has become of the pictures; ``entries`` are kept for the report alone."""

    def __init__(self, *, keep: bool) -> None:
        self.entries: list[dict[str, Any]] = []
        self._keep = keep
        self._done = self._failed = self._faces = 0
        self._last: str | None = None

    def add(self, outcome: Outcome) -> None:
        for note in outcome.notes:
            say(note)
        entry = outcome.entry
        if self._keep:
            self.entries.append(entry)
        self._failed += "error" in entry
        self._done += "error" not in entry
        self._faces += sum(face["restored"] for face in entry["faces"])
        self._last = entry["output"]

    def summarise(self, before: int) -> int:
        """Tell the user; the exit status."""
        earlier = f", {before} of them before" if before else ""
        if self._done + self._failed > 1 or self._failed:
            total = self._done + self._failed
            say(f"{self._done} of {total} pictures done{earlier}, {self._faces} faces restored.")
        elif self._done:
            say(f"{self._last}: {self._faces} face{'' if self._faces == 1 else 's'} restored{earlier}.")
        else:
            say("No picture is in this part.")
        return 1 if self._failed else 0
