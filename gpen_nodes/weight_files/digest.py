"""The SHA-256 of files: computed, and compared with what is known of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from ..atomic import replacing
from ..errors import CheckpointError
from .catalogue import WeightFile

__all__ = ["expected_sha256", "record_sha256", "records", "sha256", "verify"]


def sha256(path: Path) -> str:
    """Of a whole file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def records() -> Path:
    """The file in which the SHA-256 of first downloads are kept, as ``sha256sum`` writes them."""
    return Path(torch.hub.get_dir()) / "checkpoints" / "gpen-nodes.sha256"


def expected_sha256(file: WeightFile) -> tuple[str, ...]:
    """What the catalogue knows, else what was recorded at the first download; empty if neither."""
    if file.sha256:
        return file.sha256
    known = _recorded().get(file.name)
    return (known,) if known else ()


def record_sha256(file: WeightFile, digest: str) -> None:
    """Remember a file's SHA-256 for the next time.

    Raises:
        OSError: the record cannot be written.
    """
    path = records()
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {**_recorded(), file.name: digest}
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{value}  {name}\n" for name, value in known.items()), encoding="utf-8")


def verify(file: WeightFile, path: Path) -> str | None:
    """The SHA-256 of a file that lies on the disk, if it is the right one; None, unread, where none is known.

    Raises:
        CheckpointError: it is another file than its name says.
        OSError: it cannot be read.
    """
    expected = expected_sha256(file)
    if not expected:
        return None
    found = sha256(path)
    if found not in expected:
        source = "" if file.sha256 else f", as at its first download ({records()} remembers it)"
        raise CheckpointError(
            f"{path} has SHA-256 {found[:16]}…; expected {' or '.join(f'{one[:16]}…' for one in expected)}"
            f"{source}. Remove it and get it again from {file.address}"
        )
    return found


def _recorded() -> dict[str, str]:
    try:
        lines = records().read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split(None, 1) for line in lines)
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}
