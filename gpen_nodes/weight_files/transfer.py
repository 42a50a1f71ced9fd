"""One HTTP request for a file, which continues where an earlier one ended.

Ranges and validators are those of RFC 9110, sections 13 and 14. Why httpx: it follows redirects and the
environment's proxies, and streams; pooch, which is made for data files, begins anew after each cut.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, MissingWeightsError
from .catalogue import WeightFile

__all__ = ["CutOffError", "Part", "receive"]

_ANY = 2**32  # bytes that a file may have of which nobody says how long it is
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}

Progress = Callable[[int, int], None]


class CutOffError(Exception):
    """The rest of the file may come by another request."""


@dataclass(frozen=True)
class Part:
    """What has arrived of a file: beside its place, so that a later run can go on.

    ``mark`` holds what the server calls this version of the file. Parts of two versions are never joined.
    """

    path: Path

    @property
    def mark(self) -> Path:
        return self.path.with_name(f"{self.path.name}.mark")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def validator(self) -> str:
        return self.mark.read_text(encoding="latin-1") if self.mark.exists() else ""

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)


def receive(client: Any, address: str, part: Part, file: WeightFile, progress: Progress) -> None:
    """Ask for the rest of a file and add it to ``part``; on return it is whole, as far as the server says.

    Args:
        client: an ``httpx.Client``.
        progress: told how many bytes there are, and how many there will be, 0 where that isn't known.

    Raises:
        CutOffError, httpx.TransportError: try again.
        MissingWeightsError: the server has no such file, or not one that could be right.
        CheckpointError: it sends more than it should.
        OSError: the part cannot be written.
    """
    have = part.size if part.validator() or file.sha256 else 0
    headers = {"Accept-Encoding": "identity"}  # compression would change the lengths
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator := part.validator():
            headers["If-Range"] = validator
    with client.stream("GET", address, headers=headers) as answer:
        start, total = _understand(answer, have, part)
        if start is None:
            return
        _check_answer(answer, file, total, address)
        free = shutil.disk_usage(part.path.parent).free
        if total and total - start > free:
            raise MissingWeightsError(
                f"{file.name} needs {total - start:,} bytes, and {part.path.parent} has {free:,} left. "
                "Free some space, or name another folder with --to."
            )
        if not start:
            part.mark.write_text(_validator(answer), encoding="latin-1")
        _append(answer, part, start, total, file, progress)


def _understand(answer: Any, have: int, part: Part) -> tuple[int | None, int]:
    """Where in the file the answer begins, None if nothing is missing; and its length, 0 if not told."""
    status, headers = answer.status_code, answer.headers
    told = re.fullmatch(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)", headers.get("content-range", ""))
    total = int(told[2]) if told and told[2] != "*" else 0
    if status == 416 and have and total == have:
        return None, total
    if status == 416 or (status == 206 and not (told and told[1] and int(told[1]) == have)):
        part.remove()
        raise CutOffError("the server gave another part of the file than was asked for")
    if status in _TRANSIENT:
        raise CutOffError(f"the server answered {status} {answer.reason_phrase}")
    if status == 206:
        return have, total
    if status != 200:
        raise MissingWeightsError(
            f"{_shown(answer.url)} answered {status} {answer.reason_phrase}. Look whether the file has "
            "moved: docs/checkpoints.md says where weights come from."
        )
    length = headers.get("content-length", "")
    return 0, int(length) if re.fullmatch(r"\d{1,18}", length) else 0


def _check_answer(answer: Any, file: WeightFile, total: int, address: str) -> None:
    if address.startswith("https:") and answer.url.scheme != "https":
        raise MissingWeightsError(f"{address} leads to {_shown(answer.url)}, which anybody may forge.")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise MissingWeightsError(f"{_shown(answer.url)} sends {file.name} packed, which was not asked for.")
    if answer.headers.get("content-type", "").startswith("text/html"):
        raise MissingWeightsError(
            f"{_shown(answer.url)} is a web page instead of {file.name}: a login, or a proxy's. Open it in a "
            "browser."
        )
    chunked = answer.headers.get("transfer-encoding", "") == "chunked"
    if not (total or chunked or file.sha256):
        raise MissingWeightsError(f"{_shown(answer.url)} doesn't say how long {file.name} is.")
    low, high = _lengths(file)
    if total and not low <= total <= high:
        raise MissingWeightsError(
            f"{_shown(answer.url)} is {total:,} bytes long; expected {'' if file.exact else 'about '}"
            f"{file.bytes:,}. It is another file than {file.name}."
        )


def _lengths(file: WeightFile) -> tuple[int, int]:
    """The least and the largest length that the file may have."""
    if not file.bytes:
        return 1, _ANY
    return (file.bytes, file.bytes) if file.exact else (file.bytes // 2, file.bytes * 2)


def _append(answer: Any, part: Part, start: int, total: int, file: WeightFile, progress: Progress) -> None:
    at, most = start, total or _lengths(file)[1]
    with part.path.open("r+b" if start else "wb") as stream:
        stream.seek(start)
        # As they come: blocks of a fixed size would lose what is gathered when the line breaks.
        for block in answer.iter_raw():
            at += len(block)
            if at > most:
                raise CheckpointError(f"{_shown(answer.url)} sends more than {most:,} bytes for {file.name}.")
            stream.write(block)
            progress(at, total)
    if at < (total or _lengths(file)[0]):
        raise CutOffError(f"the connection was cut after {at:,} bytes")


def _validator(answer: Any) -> str:
    """By what the server knows this version: a strong ETag, else the date of its last change."""
    tag = answer.headers.get("etag", "")
    return tag if tag.startswith('"') else answer.headers.get("last-modified", "")


def _shown(url: Any) -> str:
    """The address without a password, to show it."""
    return str(url.copy_with(userinfo=b""))
