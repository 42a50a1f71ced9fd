"""``convert`` and ``inspect`` as a user calls them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

from gpen_nodes.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from gpen_nodes.cli import models
from gpen_nodes.errors import CheckpointError
from gpen_nodes.model import Gpen, GpenConfig


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
