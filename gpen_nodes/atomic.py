"""Files that are whole or absent: written beside their target, then moved into place."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["remedy", "replacing"]

# What the shell has opened gets what is written; another file in its place would hide what comes after.
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and move what was written there into place.

    Whatever ends the block early, Ctrl-C included, removes the temporary file and leaves ``path`` as it was.
    The caller creates the file, so it gets the permissions that the user's umask gives every new file. A link
    is followed, as plain writing would. A device, or a pipe that is being read, is written to directly.

    Raises:
        OSError: the file system's own, from the block or from the move; of a folder, a socket and a pipe that
            nobody reads before anything is written.
    """
    if _is_special(path):
        with _held(path):
            yield Path(path)
        return
    target = Path(os.path.realpath(path))
    # The suffix stays, since encoders go by it; the rest is new, so that a long name gets no longer.
    temporary = target.with_name(f".gpen-nodes-{secrets.token_hex(6)}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_special(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` leads to something that is no regular file, or to a stream that the shell opened."""
    if os.path.abspath(path).startswith(_STREAMS):
        return (
            True  # a file that the shell has opened gets what is written, and no other file takes its place
        )
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


@contextmanager
def _held(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep something special open for writing, so that a pipe's reader stays until the end.

    Without waiting: opening a pipe that nobody reads would never return.
    """
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        yield
    finally:
        os.close(handle)


def remedy(error: OSError, *, reading: bool = False) -> str:
    """What went wrong and what to do next, as one or two sentences that follow a file's name."""
    what = error.strerror or str(error)
    rights = "Choose a folder that you may write to, or change its permissions."
    if reading:
        rights = "Ask for the right to read it, or change its permissions."
    advice = {
        errno.ENOSPC: "Free some space or write to another disk.",
        errno.EDQUOT: "Free some space or write to another disk.",
        errno.EACCES: rights,
        errno.EPERM: rights,
        errno.EROFS: "Choose a folder that you may write to.",
        errno.ENOENT: "Check the path." if reading else "Check the path, and create the folder first.",
        errno.ENOTDIR: "Check the path: a part of it is a file.",
        errno.EISDIR: "Name a file, not a folder.",
        errno.ENXIO: "It is a pipe that no program reads, or a socket. Name a file.",
        errno.ENAMETOOLONG: "Choose a shorter name.",
    }.get(error.errno or 0, "")
    return f"{what}. {advice}".rstrip()
