"""Weights found within what training programs wrap around them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gpen_nodes.checkpoints import Checkpoint, describe, read_checkpoint, read_tensors
from gpen_nodes.errors import ArchitectureError, CheckpointError, UnsafeCheckpointError
from gpen_nodes.model.names import to_released_names


@pytest.fixture(scope="module")
def released(small: Checkpoint) -> dict[str, torch.Tensor]:
    return to_released_names(small.state)


def zeros(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor * 0 if ".kernel" not in name else tensor for name, tensor in state.items()}


def prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def assert_is(found: Checkpoint, expected: Checkpoint) -> None:
    assert set(found.state) == set(expected.state)
    assert all(torch.equal(found.state[name], tensor) for name, tensor in expected.state.items())


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "module.module.", "_orig_mod.", "module._orig_mod.", "generator.", "g_ema.", "model."),
        *("model.generator.module.", "netG.", "net."),
    ],
)
def test_prefixes_are_stripped(tmp_path: Path, small: Checkpoint, released: Any, prefix: str) -> None:
    torch.save(prefixed(prefix, released), tmp_path / "w.pth")
    assert_is(read_checkpoint(tmp_path / "w.pth"), small)
    others = {f"{prefix}mean": torch.zeros(3), "loss.weight": torch.zeros(2)}
    torch.save({**prefixed("model.", released), **others}, tmp_path / "w.pth")
    if not prefix.startswith("model."):
        assert_is(read_checkpoint(tmp_path / "w.pth"), small)


@pytest.mark.parametrize(
    "wrapper", ["model", "generator", "ema", "netG", "state_dict", "params_ema", "net_g", "anything"]
)
def test_wrappers_are_opened(tmp_path: Path, small: Checkpoint, released: Any, wrapper: str) -> None:
    for inner in (released, prefixed("module.", released), {"state_dict": released, "epoch": 3}):
        torch.save({wrapper: inner, "step": 3, "d": {"x": torch.zeros(2)}}, tmp_path / "w.pth")
        assert_is(read_checkpoint(tmp_path / "w.pth"), small)


def test_the_running_average_goes_first(tmp_path: Path, small: Checkpoint, released: Any) -> None:
    latest = zeros(released)
    for wrapped in (
        {"model": latest, "ema": released},
        {"netG": latest, "params_ema": released},
        {**prefixed("generator.", latest), **prefixed("g_ema.", released)},
        {"state_dict": {**prefixed("generator.", latest), **prefixed("g_ema.", released)}},
    ):
        torch.save(wrapped, tmp_path / "w.pth")
        assert_is(read_checkpoint(tmp_path / "w.pth"), small)


def test_two_that_nothing_tells_apart(tmp_path: Path, released: Any) -> None:
    torch.save({"first": released, "second": zeros(released)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"more than one GPEN.*first, second"):
        read_checkpoint(tmp_path / "w.pth")
    torch.save({"first": released, "second": released}, tmp_path / "w.pth")  # one, kept twice
    assert read_checkpoint(tmp_path / "w.pth").config.size == 64


def test_a_bundle_within_a_wrapper(tmp_path: Path, small: Checkpoint) -> None:
    parts: dict[str, Any] = {"encoder": {}, "mapper": {}, "generator": {}}
    for name, tensor in small.state.items():
        part, rest = name.split(".", 1)
        parts[part][rest] = tensor
    torch.save({"model": {**parts, "args": argparse.Namespace(version="x")}}, tmp_path / "w.pth")
    found = read_checkpoint(tmp_path / "w.pth")
    assert_is(found, small)
    assert (found.layout, found.version) == ("bundle", "x")


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("legacy", [False, True])
def test_numbers_of_numpy_are_ignored(
    tmp_path: Path, small: Checkpoint, released: Any, protocol: int, legacy: bool
) -> None:
    beside = {"best": np.float64(27.1), "step": np.int64(3), "curve": np.arange(3.0)}
    args = argparse.Namespace(lr=np.float32(0.1), size=256, betas=[0.5, np.float64(0.9)])
    torch.save(
        {"params_ema": released, **beside, "args": args},
        tmp_path / "n.pth",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=not legacy,
    )
    found = read_checkpoint(tmp_path / "n.pth")
    assert_is(found, small)
    assert found.args == {"size": 256, "betas": [0.5]}


def test_what_is_refused_is_named_by_its_key(tmp_path: Path, released: Any) -> None:
    for contents, where in (
        ({"params": released, "sampler": torch.device("cpu")}, "sampler"),
        ({"params": released, "run": {"a": 1, "where": Path("x")}}, r"run\.where"),
        ({"params": released, "args": argparse.Namespace(a=1, where=Path("x"))}, r"args\.where"),
    ):
        for protocol in (2, 4):
            torch.save(contents, tmp_path / "r.pth", pickle_protocol=protocol)
            with pytest.raises(UnsafeCheckpointError, match=f"its entry {where} asks for"):
                read_checkpoint(tmp_path / "r.pth")


def test_without_checksums(tmp_path: Path, small: Checkpoint, released: Any) -> None:
    config = pytest.importorskip("torch.utils.serialization.config")
    before = config.save.compute_crc32 if hasattr(config.save, "compute_crc32") else None
    set_checksums = getattr(torch.serialization, "set_crc32_options", None)
    if set_checksums is None:
        pytest.skip("this torch always writes checksums")
    set_checksums(False)
    try:
        torch.save(released, tmp_path / "nocrc.pth")
    finally:
        set_checksums(True if before is None else before)
    assert_is(read_checkpoint(tmp_path / "nocrc.pth"), small)


def test_a_checksum_that_does_not_fit(tmp_path: Path, released: Any) -> None:
    torch.save(released, tmp_path / "w.pth")
    data = bytearray((tmp_path / "w.pth").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match="not what was written"):
        read_checkpoint(tmp_path / "w.pth")


def test_views_of_one_storage_that_would_become_copies(tmp_path: Path, small: Checkpoint) -> None:
    pool = torch.randn(max(tensor.numel() for tensor in small.state.values()) * 64)
    big = {f"{k}": pool[k:].view(-1) for k in range(4)}
    torch.save(big, tmp_path / "v.pth")
    with pytest.raises(CheckpointError, match="would take"):
        read_tensors(tmp_path / "v.pth")


def test_a_description_is_plain_text(tmp_path: Path, released: Any) -> None:
    args = {"note\x1b[2J": "\x1b]0;owned\x07", "half": "\ud800", "line": "a\nb", "n": 2**40}
    torch.save({"params": released, "args": args}, tmp_path / "d.pth")
    facts = describe(read_checkpoint(tmp_path / "d.pth"))
    assert all(text.isprintable() for pair in facts.items() for text in pair)
    assert facts["args.half"] == "\\ud800"
    assert facts["args.n"] == str(2**40)


def test_another_network_within(tmp_path: Path) -> None:
    torch.save({"params_ema": {"conv_first.weight": torch.zeros(3)}}, tmp_path / "o.pth")
    with pytest.raises(ArchitectureError, match="conv_first"):
        read_checkpoint(tmp_path / "o.pth")
    assert list(read_tensors(tmp_path / "o.pth")) == ["conv_first.weight"]


def test_faults_as_they_were_found(shared_data: Path) -> None:
    folder = shared_data.parent / "faults" / "checkpoints"
    files = sorted(folder.glob("*.pth"))
    if not files:
        pytest.skip(f"{folder} is absent")
    for path in files:
        assert read_checkpoint(path).config.size == 64


def test_large_numbers_are_no_infinity(tmp_path: Path, released: Any) -> None:
    large = {**released, "final_linear.0.bias": torch.full((32,), 3e38)}
    torch.save(large, tmp_path / "l.pth")
    assert read_checkpoint(tmp_path / "l.pth").config.size == 64
