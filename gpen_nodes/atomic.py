"""Files that are whole or absent: written beside their target, then moved into place."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["remedy", "replacing"]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and move what was written there into place.

    Whatever ends the block early, Ctrl-C included, removes the temporary file and leaves ``path`` as it was.
    The caller creates the file, so it gets the permissions that the user's umask gives every new file. A link
    is followed, as plain writing would.

    Raises:
        OSError: the file system's own, from the block or from the move.
    """
    target = Path(os.path.realpath(path))
    # The suffix stays, since encoders go by it; the rest is new, so that a long name gets no longer.
    temporary = target.with_name(f".gpen-nodes-{secrets.token_hex(6)}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remedy(error: OSError) -> str:
    """What went wrong and what to do next, as one or two sentences that follow a file's name."""
    what = error.strerror or str(error)
    advice = {
        errno.ENOSPC: "Free some space or write to another disk.",
        errno.EDQUOT: "Free some space or write to another disk.",
        errno.EACCES: "Choose a folder that you may write to, or change its permissions.",
        errno.EPERM: "Choose a folder that you may write to, or change its permissions.",
        errno.EROFS: "Choose a folder that you may write to.",
        errno.ENOENT: "Check the path, and create the folder first.",
        errno.ENOTDIR: "Check the path: a part of it is a file.",
        errno.EISDIR: "Name a file, not a folder.",
    }.get(error.errno or 0, "")
    return f"{what}. {advice}".rstrip()
