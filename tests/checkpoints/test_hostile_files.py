"""Files that want to run code are refused by name, with nothing run; other wrong files are told apart."""

from __future__ import annotations

import argparse
import builtins
import contextlib
import io
import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gpen_nodes.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from gpen_nodes.errors import ArchitectureError, CheckpointError, UnsafeCheckpointError
from gpen_nodes.model.names import to_released_names


class Call:
    """Pickles as a call of ``function`` with ``arguments``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def save_pickle(data: bytes, path: Path) -> None:
    """A zip of torch.save's form around any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, f"{os.name}.system"),
        (subprocess.Popen, "Popen"),
        (builtins.eval, "eval"),
        (builtins.getattr, "getattr"),
        (torch.load, "torch.serialization.load"),
        (torch.hub.load, "torch.hub.load"),
    ],
)
def test_a_call_is_refused_by_name(
    tmp_path: Path, small: Checkpoint, function: Any, name: str, protocol: int, legacy: bool
) -> None:
    trace = tmp_path / "ran"
    for hidden in (
        {"params": {**small.state, "x": Call(function, f"touch {trace}")}},
        {"params": small.state, "args": argparse.Namespace(x=Call(function, f"touch {trace}"))},
    ):
        path = tmp_path / "evil.pth"
        torch.save(hidden, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(UnsafeCheckpointError, match=name.replace(".", r"\.")) as raised:
            read_checkpoint(path)
        assert str(path) in str(raised.value)
        assert not trace.exists()


@pytest.mark.parametrize("thing", [Path("x"), torch.nn.Linear(2, 2), torch.device("cpu"), {1, 2}.union])
def test_foreign_objects_are_refused(tmp_path: Path, small: Checkpoint, thing: Any) -> None:
    torch.save({"params": small.state, "args": argparse.Namespace(x=thing)}, tmp_path / "o.pth")
    with pytest.raises(UnsafeCheckpointError):
        read_checkpoint(tmp_path / "o.pth")


@pytest.mark.parametrize("target", [b"cargparse\nNamespace\n", b"ccollections\nOrderedDict\n"])
def test_a_pickle_cannot_change_what_others_use(tmp_path: Path, target: bytes) -> None:
    # BUILD with a state of (None, {"marked": 1}) sets an attribute on the class itself.
    save_pickle(b"\x80\x02" + target + b"N}X\x06\x00\x00\x00markedK\x01s\x86b.", tmp_path / "b.pth")
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "b.pth")
    assert not hasattr(argparse.Namespace, "marked")
    assert not hasattr(OrderedDict, "marked")


def test_five_bytes_cannot_take_all_memory(tmp_path: Path) -> None:
    # LONG_BINPUT: remember None under a number so high that a list up to there would not fit.
    save_pickle(b"\x80\x02Nr\xff\xff\xff\xff.", tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match="holds a NoneType"):
        read_checkpoint(tmp_path / "m.pth")


def test_args_must_be_plain(tmp_path: Path, small: Checkpoint) -> None:
    torch.save({"params": small.state, "args": argparse.Namespace(x=torch.zeros(2))}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="plain"):
        read_checkpoint(tmp_path / "a.pth")


def test_a_dictionary_that_holds_itself(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["params"] = loop
    torch.save(loop, tmp_path / "loop.pth")
    with pytest.raises(CheckpointError, match="a dictionary of params"):
        read_checkpoint(tmp_path / "loop.pth")


def test_a_torchscript_program(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", b"\x80\x02}.")
        archive.writestr("script/constants.pkl", b"\x80\x02).")
    with pytest.raises(UnsafeCheckpointError, match="TorchScript"):
        read_checkpoint(tmp_path / "script.pt")


# --- tensors that lie ---


def rewrite_zip(path: Path, change: Any, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, change(name, data))


def test_records_shorter_or_longer_than_said(tmp_path: Path, small: Checkpoint) -> None:
    for change in (lambda data: data[:-4], lambda data: data + bytes(4)):
        write_checkpoint(small, tmp_path / "a.pth")
        rewrite_zip(tmp_path / "a.pth", lambda name, data: change(data) if "/data/" in name else data)  # noqa: B023
        with pytest.raises(CheckpointError, match="is not"):
            read_checkpoint(tmp_path / "a.pth")


def test_compressed_records(tmp_path: Path, small: Checkpoint) -> None:
    write_checkpoint(small, tmp_path / "a.pth")
    rewrite_zip(tmp_path / "a.pth", lambda name, data: data, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "a.pth")


def test_another_byte_order(tmp_path: Path, small: Checkpoint) -> None:
    write_checkpoint(small, tmp_path / "a.pth")

    def change(name: str, data: bytes) -> bytes:
        return b"big" if name.endswith("byteorder") else data

    rewrite_zip(tmp_path / "a.pth", change)
    with pytest.raises(CheckpointError, match="byte order"):
        read_checkpoint(tmp_path / "a.pth")


class Storage:
    """Pickles as a reference to a storage."""


@pytest.mark.parametrize(
    "arguments", [(5, (8,), (1,)), (0, (4, 4), (4, 1)), (-1, (2,), (1,)), (0, (2,), (-1,))]
)
def test_a_tensor_outside_its_storage(tmp_path: Path, arguments: tuple[Any, ...]) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", 8) if isinstance(obj, Storage) else None

    stream = io.BytesIO()
    rebuild = torch._utils._rebuild_tensor_v2  # type: ignore[attr-defined]
    Pickler(stream, 2).dump({"x": Call(rebuild, Storage(), *arguments, False, OrderedDict())})
    save_pickle(stream.getvalue(), tmp_path / "t.pth")
    with zipfile.ZipFile(tmp_path / "t.pth", "a") as archive:
        archive.writestr("archive/data/0", bytes(32))
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_checkpoint(tmp_path / "t.pth")


def test_a_storage_larger_than_its_file(tmp_path: Path) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            pid = ("storage", torch.FloatStorage, "0", "cpu", 2**34, None)
            return pid if isinstance(obj, Storage) else None

    stream = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"x": Storage()}, ["0"]):
        Pickler(stream, 2).dump(part)
    (tmp_path / "l.pth").write_bytes(stream.getvalue())
    with pytest.raises(CheckpointError, match="larger than the file"):
        read_checkpoint(tmp_path / "l.pth")


@pytest.mark.parametrize(("layout", "legacy"), [("bundle", False), ("bundle", True), ("safetensors", False)])
def test_flipped_bytes_raise_nothing_but_our_errors(
    tmp_path: Path, small: Checkpoint, layout: Any, legacy: bool
) -> None:
    path = tmp_path / "f.pth"
    write_checkpoint(small, path, layout, legacy=legacy)
    whole = path.read_bytes()
    head = max(whole.rindex(b"_rebuild_tensor") if legacy else 0, 4000)  # where the pickle or the JSON is
    rng = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for position in rng.integers(0, head, 3):
            data[position] = rng.integers(256)
        path.write_bytes(data)
        with contextlib.suppress(CheckpointError):
            read_checkpoint(path)


# --- files that are something else ---


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("w.pth", b"", "is empty"),
        ("w.pth", b"<!DOCTYPE html><html>404</html>", "web page"),
        ("w.pth", b"\n <html>", "web page"),
        ("w.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("w.onnx", b"\x08\x06\x12\x07pytorch", "ONNX"),
        ("w.pth", b"\x1f\x8b\x08\x00", "compressed archive"),
        ("w.pth", b"sys_info".ljust(257, b"\0") + b"ustar", "tar archive"),
        ("w.pth", b"garbage of any kind", "garbage"),
        ("w.pth", b"\x80", "cannot be read"),
        ("w.pth", b"PK\x03\x04", "not a zip file"),
        ("w.pth", pickle.dumps({"a": 1}), "not of torch.save"),
        ("w.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\xff{}", "damaged"),
        ("w.safetensors", b"\x02\0\0\0\0\0\0\0{}", "holds a dictionary of nothing"),
    ],
)
def test_wrong_files_are_told_apart(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=says) as raised:
        read_checkpoint(path)
    assert str(path) in str(raised.value)


def test_no_file_a_folder_and_another_zip(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        read_checkpoint(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(tmp_path)
    with zipfile.ZipFile(tmp_path / "z.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"zip archive, not of torch\.save.*readme\.txt"):
        read_checkpoint(tmp_path / "z.pth")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99999])
@pytest.mark.parametrize(("layout", "legacy"), [("flat", False), ("flat", True), ("safetensors", False)])
def test_a_truncated_file(tmp_path: Path, small: Checkpoint, layout: Any, legacy: bool, share: float) -> None:
    path = tmp_path / "t.pth"
    write_checkpoint(small, path, layout, legacy=legacy)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(CheckpointError, match="broken off") as raised:
        read_checkpoint(path)
    assert not isinstance(raised.value, UnsafeCheckpointError)


@pytest.mark.parametrize(
    "contents", [[1, 2], {}, {"epoch": 3}, torch.zeros(3), {"params": {"a": 1}}, {1: torch.ones(2)}]
)
def test_no_weights_inside(tmp_path: Path, contents: Any) -> None:
    torch.save(contents, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="expected the tensors of a GPEN"):
        read_checkpoint(tmp_path / "n.pth")


def test_weights_of_something_else(tmp_path: Path, small: Checkpoint) -> None:
    path = tmp_path / "w.pth"
    released = to_released_names(small.state)
    incomplete = {name: tensor for name, tensor in released.items() if name != "ecd2.0.2.bias"}
    more = {**released, "conv_first.weight": torch.zeros(3)}
    for state, says in (
        ({"conv_first.weight": torch.zeros(3)}, "not a GPEN"),
        (incomplete, r"encoder\.stages\.2\.bias is missing"),
        (more, r"conv_first\.weight is unknown"),
        ({**released, "generator.input.input": torch.zeros(1, 0, 4, 4)}, "describe no network"),
    ):
        torch.save(state, path)
        with pytest.raises(ArchitectureError, match=says) as raised:
            read_checkpoint(path)
        assert str(path) in str(raised.value)
    torch.save({name: tensor.to(torch.int8) for name, tensor in released.items()}, path)
    with pytest.raises(CheckpointError, match="floating point"):
        read_checkpoint(path)
