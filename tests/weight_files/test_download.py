"""Downloads from a server that behaves, and from one that doesn't."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpen_nodes import CheckpointError, MissingWeightsError, OptionError
from gpen_nodes.weight_files import CATALOGUE, WeightFile
from gpen_nodes.weight_files import download as module
from gpen_nodes.weight_files.digest import records
from gpen_nodes.weight_files.download import download

from .server import Handler, Server, answer, chunked, cut_after, endless, serving, stall, until_closed

pytest.importorskip("httpx")
BODY = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "GPEN_MIRROR":
            monkeypatch.delenv(name)
    monkeypatch.setattr(module, "_PAUSES", (0, 0, 0, 0))
    monkeypatch.setattr(module, "_TIMEOUT", 0.4)
    with serving(BODY) as server:
        yield server


@pytest.fixture
def pinned(server: Server) -> WeightFile:
    """A file of which all is known."""
    known = CATALOGUE["MobileFaceNet.onnx"]
    return dataclasses.replace(
        known, address=f"{server.address}/a/file", bytes=len(BODY), sha256=(DIGEST,), exact=True
    )


@pytest.fixture
def unpinned(pinned: WeightFile) -> WeightFile:
    """A file as GPEN's: about so long, and nobody knows its SHA-256."""
    return dataclasses.replace(pinned, name="GPEN.pth", bytes=len(BODY) + 1000, sha256=(), exact=False)


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_file_arrives_whole_in_a_folder_that_is_made(pinned, tmp_path):
    told: list[tuple[int, int]] = []
    folder = tmp_path / "models" / "gpen"
    path = download(pinned, folder, lambda *numbers: told.append(numbers))
    assert path == folder / pinned.name
    assert path.read_bytes() == BODY
    assert contents(folder) == [pinned.name]
    assert told[-1] == (len(BODY), len(BODY))
    assert not records().exists()  # the catalogue knows it


def test_cuts_are_mended_where_they_happened(server, pinned, tmp_path):
    server.replies = [cut_after(1000), cut_after(0), answer(503), cut_after(70_000)]
    said: list[str] = []
    path = download(pinned, tmp_path, say=said.append)
    assert path.read_bytes() == BODY
    assert [headers.get("Range") for _, headers in server.seen] == [
        None,
        "bytes=1000-",
        "bytes=1000-",
        "bytes=1000-",
        "bytes=71000-",
    ]
    assert len(said) == 4
    assert "503" in said[2]


def test_a_stalled_connection_counts_as_cut(server, pinned, tmp_path):
    server.replies = [stall]
    assert download(pinned, tmp_path).read_bytes() == BODY
    assert server.seen[1][1]["Range"] == "bytes=1000-"


def test_tries_end_and_the_next_run_goes_on(server, unpinned, tmp_path):
    server.replies = [cut_after(1000)] + [answer(500)] * 4
    with pytest.raises(MissingWeightsError, match=r"500 .*Tried 5 times.*is kept.*GPEN_MIRROR"):
        download(unpinned, tmp_path)
    assert contents(tmp_path) == ["GPEN.pth.part", "GPEN.pth.part.mark"]
    assert download(unpinned, tmp_path).read_bytes() == BODY
    assert server.seen[-1][1]["Range"] == "bytes=1000-"
    assert server.seen[-1][1]["If-Range"] == '"first"'
    assert contents(tmp_path) == ["GPEN.pth"]


def test_parts_of_two_versions_are_never_joined(server, unpinned, tmp_path):
    server.replies = [cut_after(1000)]
    server.replies += [lambda handler: (setattr(server, "tag", '"second"'), answer(500)(handler))]
    server.replies += [lambda handler: (setattr(server, "body", BODY[::-1]), Handler.well(handler))]
    assert download(unpinned, tmp_path).read_bytes() == BODY[::-1]


def test_a_part_of_unknown_version_is_not_continued(server, unpinned, tmp_path):
    (tmp_path / "GPEN.pth.part").write_bytes(b"something else")
    assert download(unpinned, tmp_path).read_bytes() == BODY
    assert "Range" not in server.seen[0][1]


def test_a_part_that_was_whole_is_taken(server, pinned, tmp_path):
    (tmp_path / f"{pinned.name}.part").write_bytes(BODY)
    assert download(pinned, tmp_path).read_bytes() == BODY
    assert contents(tmp_path) == [pinned.name]


def test_a_server_without_ranges_begins_anew(server, pinned, tmp_path):
    server.replies = [cut_after(1000), answer(200, BODY)]
    assert download(pinned, tmp_path).read_bytes() == BODY


def test_a_server_that_gives_another_part_is_asked_again(server, pinned, tmp_path):
    wrong = answer(206, BODY[5:], Content_Range=f"bytes 5-{len(BODY) - 1}/{len(BODY)}")
    server.replies = [cut_after(1000), wrong]
    assert download(pinned, tmp_path).read_bytes() == BODY
    assert "Range" not in server.seen[2][1]


def test_redirects_are_followed(server, pinned, tmp_path):
    server.replies = [answer(302, Location="/b"), answer(307, Location=f"{server.address}/c")]
    assert download(pinned, tmp_path).read_bytes() == BODY
    assert [path for path, _ in server.seen] == ["/a/file", "/b", "/c"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer(404), "answered 404 Not Found"),
        (answer(403), "answered 403 Forbidden"),
        (answer(200, BODY[:-1]), "255,999 bytes long; expected 256,000"),
        (answer(200, BODY + b"x"), "256,001 bytes long; expected 256,000"),
        (answer(200, gzip.compress(BODY), Content_Encoding="gzip"), "packed"),
        (answer(200, b"<html>log in", Content_Type="text/html"), "is a web page"),
        (answer(302, Location="ftp://127.0.0.1/x"), "leads nowhere"),
    ],
    ids=["gone", "forbidden", "short", "long", "packed", "page", "ftp"],
)
def test_what_cannot_be_right_is_refused_at_once(server, pinned, tmp_path, reply, said):
    server.replies = [reply]
    with pytest.raises(MissingWeightsError, match=said):
        download(pinned, tmp_path)
    assert len(server.seen) == 1
    assert contents(tmp_path) == []


def test_a_circle_of_redirects_ends(server, pinned, tmp_path):
    server.replies = [answer(302, Location="/a/file")] * 100
    with pytest.raises(MissingWeightsError, match="leads nowhere"):
        download(pinned, tmp_path)


def test_an_endless_file_is_cut_off(server, pinned, unpinned, tmp_path):
    for file in (pinned, unpinned):
        server.replies = [endless]
        with pytest.raises(CheckpointError, match="sends more than"):
            download(file, tmp_path)
    assert contents(tmp_path) == []


def test_a_wrong_hash_leaves_nothing(server, pinned, tmp_path):
    server.body = BODY[::-1]
    with pytest.raises(CheckpointError, match=rf"expected {DIGEST[:16]}…, so it was thrown away"):
        download(pinned, tmp_path)
    assert contents(tmp_path) == []


def test_the_first_hash_is_recorded_and_later_ones_are_held_to_it(server, unpinned, tmp_path):
    download(unpinned, tmp_path / "a")
    assert records().read_text() == f"{DIGEST}  GPEN.pth\n"
    download(unpinned, tmp_path / "b")
    server.body = BODY[::-1]
    with pytest.raises(CheckpointError, match=r"take its line out of .*gpen-nodes\.sha256"):
        download(unpinned, tmp_path / "c")
    assert contents(tmp_path / "c") == []


def test_lengths_that_are_not_told(server, pinned, unpinned, tmp_path):
    server.replies = [chunked, until_closed, until_closed]
    assert download(unpinned, tmp_path).read_bytes() == BODY
    assert download(pinned, tmp_path).read_bytes() == BODY
    with pytest.raises(MissingWeightsError, match="doesn't say how long"):
        download(unpinned, tmp_path / "b")


def test_a_mirror_holds_the_files_under_their_names(server, pinned, tmp_path, monkeypatch):
    monkeypatch.setenv("GPEN_MIRROR", f"{server.address}/mirror/")
    file = dataclasses.replace(pinned, address="http://127.0.0.1:9/closed")
    assert download(file, tmp_path).read_bytes() == BODY
    assert server.seen[0][0] == "/mirror/MobileFaceNet.onnx"
    monkeypatch.setenv("GPEN_MIRROR", "mirror")
    with pytest.raises(OptionError, match="GPEN_MIRROR=mirror; expected an address"):
        download(file, tmp_path)


def test_a_password_of_the_mirror_is_not_shown(server, pinned, tmp_path, monkeypatch):
    monkeypatch.setenv("GPEN_MIRROR", server.address.replace("//", "//me:secret@"))
    server.replies = [answer(404)]
    with pytest.raises(MissingWeightsError, match="404") as caught:
        download(pinned, tmp_path)
    assert server.seen[0][1]["Authorization"].startswith("Basic ")
    assert "secret" not in str(caught.value)


def test_the_environments_proxy_is_asked(server, pinned, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.address)
    file = dataclasses.replace(pinned, address="http://files.invalid/file")
    assert download(file, tmp_path).read_bytes() == BODY
    assert server.seen[0][0] == "http://files.invalid/file"
    monkeypatch.setenv("HTTP_PROXY", "carrier-pigeon://roof")
    with pytest.raises(OptionError, match="proxy"):
        download(file, tmp_path)


def test_nobody_there(pinned, tmp_path):
    file = dataclasses.replace(pinned, address="http://127.0.0.1:9/file")
    with pytest.raises(MissingWeightsError, match=r"could not be downloaded: .*Try later"):
        download(file, tmp_path)
    assert contents(tmp_path) == []


def test_a_secure_address_may_not_lead_to_an_open_one(server, pinned, tmp_path, monkeypatch):
    httpx = pytest.importorskip("httpx")

    def transport(request):
        if request.url.scheme == "https":
            return httpx.Response(302, headers={"Location": "http://other.invalid/file"})
        return httpx.Response(200, content=BODY)

    client = httpx.Client(transport=httpx.MockTransport(transport), follow_redirects=True)
    monkeypatch.setattr(module, "_client", lambda _: client)
    file = dataclasses.replace(pinned, address="https://files.invalid/file")
    with pytest.raises(MissingWeightsError, match="which anybody may forge"):
        download(file, tmp_path)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_asked(server, pinned, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MissingWeightsError, match=r"cannot be written: "):
        download(pinned, tmp_path / "file" / "models")
    if hasattr(os, "geteuid") and os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(MissingWeightsError, match=r"that you may write to"):
            download(pinned, tmp_path / "closed")
    assert server.seen == []


def test_too_little_space_is_told_before_the_disk_is_full(server, pinned, tmp_path, monkeypatch):
    few = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: few)
    with pytest.raises(MissingWeightsError, match=r"needs 256,000 bytes.* has 1,000 left"):
        download(pinned, tmp_path)
    assert contents(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_a_disk_that_fills_up_is_left_as_it_was(pinned, tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # Python ignores its signal
    try:
        with pytest.raises(MissingWeightsError, match="cannot be written"):
            download(pinned, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path) == []


def test_an_interrupt_keeps_what_has_arrived(server, pinned, tmp_path):
    def progress(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(pinned, tmp_path, progress)
    assert pinned.name not in contents(tmp_path)
    assert download(pinned, tmp_path).read_bytes() == BODY


def test_without_httpx_the_remedy_is_named(pinned, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingWeightsError, match=r"pip install httpx.*gpen-nodes\[download\]"):
        download(pinned, tmp_path)
    assert contents(tmp_path) == []
