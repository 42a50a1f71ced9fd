"""Files of the catalogue from their addresses: only ever on a user's command."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from ..atomic import remedy
from ..errors import CheckpointError, MissingWeightsError, OptionError
from .catalogue import WeightFile
from .digest import expected_sha256, record_sha256, records, sha256
from .transfer import CutOffError, Part, Progress, receive

__all__ = ["MIRROR", "address_of", "download"]

MIRROR = "GPEN_MIRROR"
"""Environment variable: the address of a folder that holds the catalogue's files under their names."""

_PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before the second to the fifth try
_PROGRESS = 2**20  # progress in bytes after which the tries are counted anew
_TIMEOUT = 30.0  # seconds without a byte
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def address_of(file: WeightFile) -> str:
    """Where a file is downloaded from: the mirror, if the environment names one, else its authors' address.

    Raises:
        OptionError: the mirror is no address.
    """
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    if not mirror:
        return file.address
    if urlsplit(mirror).scheme not in ("http", "https") or not urlsplit(mirror).hostname:
        raise OptionError(f"Found {MIRROR}={mirror}; expected an address such as https://example.org/gpen.")
    return f"{mirror}/{quote(file.name)}"


def download(
    file: WeightFile,
    folder: Path,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Download one file into a folder, checked by length and SHA-256. In its place it is whole or absent.

    What arrived before a cut or an interrupt lies beside it as ``.part``; the next call goes on from there.

    Args:
        file: of the catalogue.
        folder: is made if it isn't there.
        progress: told the bytes that are there and the bytes that there will be, 0 where that isn't known.
        say: told of cuts.

    Raises:
        MissingWeightsError: no httpx, the server doesn't give the file, or there is no place for it.
        CheckpointError: what came is another file.
        OptionError: ``GPEN_MIRROR`` or a proxy's variable makes no sense.
    """
    httpx, address = _httpx(), address_of(file)
    part = Part(folder / f"{file.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.path.open("ab").close()  # before the network is asked
        with _client(httpx) as client:
            _receive_all(httpx, client, address, part, file, progress, say)
        digest = _checked(file, part)
        os.replace(part.path, folder / file.name)
        part.remove()
    except OSError as error:
        if error.errno in _FULL:
            part.remove()
        raise MissingWeightsError(f"{folder / file.name} cannot be written: {remedy(error)}") from error
    except CheckpointError:
        part.remove()
        raise
    except MissingWeightsError:
        if not part.size:
            part.remove()
        raise
    _record(file, digest)
    return folder / file.name


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise MissingWeightsError(
            "Downloads need the package httpx: `pip install httpx`, or the extra gpen-nodes[download]."
        ) from error
    return httpx


def _client(httpx: Any) -> Any:
    try:
        return httpx.Client(follow_redirects=True, timeout=_TIMEOUT)
    except (
        ImportError,
        ValueError,
        OSError,
    ) as error:  # SOCKS without its extra, a certificate that isn't there
        raise OptionError(
            f"A proxy or certificate that the environment names can't be used: {error}"
        ) from error


def _receive_all(
    httpx: Any,
    client: Any,
    address: str,
    part: Part,
    file: WeightFile,
    progress: Progress,
    say: Callable[[str], None],
) -> None:
    failures = 0
    while True:
        before = part.size
        try:
            return receive(client, address, part, file, progress)
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as error:
            raise MissingWeightsError(f"{file.address} leads nowhere: {error}") from error
        except (httpx.TransportError, CutOffError) as error:
            reason = str(error).rstrip(".") or type(error).__name__
        failures = 1 if part.size - before >= _PROGRESS else failures + 1
        if failures > len(_PAUSES):
            raise MissingWeightsError(
                f"{file.name} could not be downloaded: {reason}. Tried {failures} times. "
                + ("What has arrived is kept: run the command again to go on." if part.size else "Try later.")
                + f" A mirror can be named by the environment variable {MIRROR}."
            )
        say(f"{file.name}: {reason}; trying again in {_PAUSES[failures - 1]:g} s")
        time.sleep(_PAUSES[failures - 1])


def _checked(file: WeightFile, part: Part) -> str:
    """The SHA-256 of what has arrived, which goes if it is another file."""
    digest, expected = sha256(part.path), expected_sha256(file)
    if expected and digest not in expected:
        source = "" if file.sha256 else f" If its authors have replaced it, take its line out of {records()}."
        raise CheckpointError(
            f"What came as {file.name} has SHA-256 {digest[:16]}…; expected "
            f"{' or '.join(f'{one[:16]}…' for one in expected)}, so it was thrown away.{source}"
        )
    return digest


def _record(file: WeightFile, digest: str) -> None:
    if expected_sha256(file):
        return
    try:
        record_sha256(file, digest)
    except OSError as error:
        raise MissingWeightsError(
            f"{file.name} is in its place, but its SHA-256 could not be recorded in {records()}: "
            f"{remedy(error)}"
        ) from error
