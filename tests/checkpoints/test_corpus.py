"""The corpus of ``hostile.py``: each file is refused in one sentence, with nothing run, written or filled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gpen_nodes.errors
from gpen_nodes.checkpoints import read_checkpoint
from gpen_nodes.errors import CheckpointError, printable

SCRIPT = Path(__file__).with_name("hostile.py")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list]:
    """Of every file: kind, message, seconds, and megabytes that the process had grown by."""
    pytest.importorskip("resource")
    # The limit is for what has no end; how long each takes depends on the machine and is not held here.
    run = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
    )
    return json.loads(run.stdout)


def test_each_is_refused_by_an_error_of_ours(outcomes: dict[str, list]) -> None:
    kinds = {name: outcome[0] for name, outcome in outcomes.items()}
    assert len(kinds) > 80
    assert {
        name: kind
        for name, kind in kinds.items()
        if not issubclass(getattr(gpen_nodes.errors, kind, Exception), CheckpointError)
    } == {}


def test_each_says_so_in_one_line_of_plain_text(outcomes: dict[str, list]) -> None:
    for name, (_kind, message, *_) in outcomes.items():
        assert len(message) < 2500, name
        assert message.isprintable(), name
        assert ".pth" in message or "/dev/zero" in message, name


def test_none_takes_a_gigabyte(outcomes: dict[str, list]) -> None:
    assert max(outcome[3] for outcome in outcomes.values()) < 1000


def test_files_of_an_attacker(shared_data: Path) -> None:
    folder = shared_data.parent / "faults" / "hostile"
    files = [path for path in folder.glob("*") if path.suffix in (".pth", ".safetensors")]
    if not files:
        pytest.skip(f"{folder} is absent")
    for path in files:
        if path.stem in ("args_ansi", "args_surrogate"):  # harmless once they are shown as text
            assert read_checkpoint(path).config.size == 64
            continue
        with pytest.raises(CheckpointError) as raised:
            read_checkpoint(path)
        assert str(raised.value).isprintable()


def test_printable() -> None:
    assert printable("é ✓ \x1b[2J\ud800\u202e\n") == "é ✓ \\x1b[2J\\ud800\\u202e\n"
    assert printable("a" * 50, limit=10) == "a" * 9 + "…"
    error = CheckpointError("\x1b[2J")
    assert str(error) == "\\x1b[2J"
