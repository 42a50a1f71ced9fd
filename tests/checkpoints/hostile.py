"""A corpus of weight files that lie: each is to end in one sentence, soon, in little memory.

``python tests/checkpoints/hostile.py`` writes the corpus to a temporary folder, reads every file of it in one
process, and prints for each what came of it as JSON: kind of outcome, message, seconds, and megabytes that
the process grew by at most so far.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import safetensors.torch
import torch

from gpen_nodes.checkpoints import Checkpoint, describe, read_checkpoint, write_checkpoint
from gpen_nodes.errors import GpenError
from gpen_nodes.model import Gpen, GpenConfig
from gpen_nodes.model.names import to_released_names

PROTO = b"\x80\x02"


def string(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def put(number: int) -> bytes:
    return b"r" + struct.pack("<I", number)


def get(number: int) -> bytes:
    return b"j" + struct.pack("<I", number)


def as_zip(pickled: bytes, compression: int = zipfile.ZIP_STORED, /, **records: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, data in records.items():
            archive.writestr(f"a/data/{name.removeprefix('_')}", data)
    return stream.getvalue()


def tensor(size: str, stride: str, length: int = 1, key: str = "0") -> bytes:
    """A tensor of a float storage; size and stride as pickled tuples of small numbers, ``2**20`` for J."""

    def numbers(text: str) -> bytes:
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", int(n)) for n in text.split()) + b"t"

    storage = b"(" + string("storage") + b"ctorch\nFloatStorage\n" + string(key) + string("cpu")
    storage += b"\x8a\x08" + struct.pack("<q", length) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + numbers(size) + numbers(stride)
    return call + b"\x89)tR"


def nest(levels: int) -> bytes:
    """A tuple twice within another, and so on: a small file, 2**levels leaves."""
    return b")" + put(0) + b"".join(b"0" + get(k) * 2 + b"\x86" + put(k + 1) for k in range(levels))


def pickles() -> dict[str, bytes]:
    small = string("w") + tensor("1", "1")
    tree = PROTO + b"}" + string("params") + b"}" + small + b"ss" + string("args") + b"}" + string("x")
    return {
        "calls out": as_zip(PROTO + b"}" + string("x") + b"cos\nsystem\n" + string("touch ran") + b"\x85Rs."),
        "calls builtins": as_zip(PROTO + b"cbuiltins\neval\n" + string("1") + b"\x85R."),
        "extension": as_zip(PROTO + b"\x82\x01."),
        "set of tuples": as_zip(PROTO + b"\x8f(" + nest(60) + b"\x90."),
        "key of tuples": as_zip(PROTO + b"}" + nest(60) + b"Ns."),
        "args shared": as_zip(tree + nest(60) + b"ss.", _0=bytes(4)),
        "args deep": as_zip(tree + b"]" * 50_000 + b"a" * 49_999 + b"ss.", _0=bytes(4)),
        "args large number": as_zip(
            tree + b"\x8b" + struct.pack("<i", 10**6) + b"\x11" * 10**6 + b"ss.", _0=bytes(4)
        ),
        "args shared string": as_zip(
            tree + string("x" * 10**6) + put(0) + b"0](" + get(0) * 9000 + b"ess.", _0=bytes(4)
        ),
        "wrappers shared": as_zip(
            PROTO
            + b"}"
            + put(0)
            + b"".join(
                b"}" + string("g") + get(k) + b"s" + string("params") + get(k) + b"s" + put(k + 1)
                for k in range(60)
            )
            + b"."
        ),
        "many steps": as_zip(PROTO + b"]0" * (2**22 - 8) + b"N."),
        "many lists": as_zip(PROTO + b"](" + b"]" * (2**23 - 8) + b"e."),
        "byte array": as_zip(b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b"."),
        "long string": as_zip(b"\x80\x04\x8e" + struct.pack("<Q", 2**36) + b"."),
        "long frame": as_zip(b"\x80\x04\x95" + struct.pack("<Q", 2**36) + b"."),
        "high memo": as_zip(PROTO + b"N" + put(2**32 - 1) + b"."),
        "copies of a list": as_zip(
            PROTO
            + b"]("
            + b"K\x01" * 10**5
            + b"e"
            + put(0)
            + b"0]("
            + (b"ctorch\nSize\n" + get(0) + b"\x85R") * 10**4
            + b"e."
        ),
        "arguments of a tensor": as_zip(
            PROTO + b"ccollections\nOrderedDict\n" + tensor("1000000", "0") + b"R.", _0=bytes(4)
        ),
        "state of a tensor": as_zip(
            PROTO + b"}" + string("w") + tensor("1", "1") + b"(K\x01K\x02tbs.", _0=bytes(4)
        ),
        "view of nothing": as_zip(PROTO + b"}" + string("w") + tensor("100000000", "0") + b"s.", _0=bytes(4)),
        "huge shape": as_zip(
            PROTO + b"}" + string("w") + tensor("4611686018427387904 4611686018427387904", "0 0") + b"s.",
            _0=bytes(4),
        ),
        "huge storage": as_zip(PROTO + b"}" + string("w") + tensor("1", "1", 2**40) + b"s.", _0=bytes(4)),
        "compressed": as_zip(PROTO + b"]" * 2**24 + b".", zipfile.ZIP_DEFLATED),
        "many records": as_zip(PROTO + b"}.", **{f"_{k}": b"" for k in range(60_000)}),
        "control characters": as_zip(
            PROTO + b"}" + string("\x1b]0;owned\x07\x1b[2J\u202e") + tensor("1", "1") + b"s.", _0=bytes(4)
        ),
        "half a character": as_zip(PROTO + b"}" + string("\ud800") + tensor("1", "1") + b"s.", _0=bytes(4)),
        "name of a megabyte": as_zip(
            PROTO + b"}" + string("w" * 10**6) + tensor("1", "1") + b"s.", _0=bytes(4)
        ),
        "line break in a record's name": as_zip(PROTO + b"}.").replace(b"a/data.pkl", b"a\nd\tta.pkl"),
        "asks under a name": as_zip(PROTO + b"cx\x1b[2J\ny\n."),
    }


def small_checkpoint() -> Checkpoint:
    config = GpenConfig(64, 64, narrow=0.0625, multiplier=1, style_dim=32, mapping_depth=2)
    with torch.device("meta"):
        state = Gpen(config).state_dict()
    generator = torch.Generator().manual_seed(0)
    filled = {name: torch.randn(value.shape, generator=generator) for name, value in state.items()}
    return Checkpoint(filled, config, {"version": "GPEN-lite-64"})


def states() -> dict[str, dict[str, torch.Tensor]]:
    """State dicts whose names or shapes describe networks that are not to be built."""
    released = to_released_names(small_checkpoint().state)
    one = torch.zeros(1)
    wide = {name: value for name, value in released.items() if not name.startswith("generator.conv")}
    return {
        "index of RGB": {**released, "generator.to_rgbs.99999999999999999999.bias": one},
        "index of a stage": {**released, "ecd99999999.0.2.bias": one},
        "index of the mapper": {**released, "generator.style.88888888.weight": one},
        "index of 5000 digits": {**released, f"generator.to_rgbs.{'9' * 5000}.bias": one},
        "discriminator's index": {
            "final_linear.1.weight": torch.zeros(1, 32),
            "final_conv.0.weight": torch.zeros(1, 1, 1, 1),
            "convs.0.0.weight": torch.zeros(1, 3, 1, 1),
            "convs.999999999.conv1.0.weight": one,
        },
        "no channels": {**released, "generator.input.input": torch.zeros(1, 0, 4, 4)},
        "incomplete": wide,
        "not a number": {**released, "final_linear.0.bias": torch.full((32,), float("nan"))},
        "not finite": {**released, "final_linear.0.bias": torch.full((32,), float("inf"))},
        "another network": {
            "conv_first.weight": torch.zeros(64, 3, 3, 3),
            "conv_first.bias": torch.zeros(64),
        },
    }


def safetensors_files() -> dict[str, bytes]:
    def file(header: str | bytes, data: bytes = b"") -> bytes:
        header = header.encode() if isinstance(header, str) else header
        return struct.pack("<Q", len(header)) + header + data

    def one(shape: str, offsets: str, dtype: str = "F32") -> str:
        return f'{{"w": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}}}'

    overlap = one("[2]", "[0, 8]")[:-1] + ', "v": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}'
    return {
        "negative offset": file(one("[1]", "[-4, 0]"), bytes(4)),
        "backward offsets": file(one("[1]", "[4, 0]"), bytes(4)),
        "overlapping offsets": file(overlap, bytes(12)),
        "beyond the end": file(one("[100000000000]", "[0, 400000000000]"), bytes(8)),
        "overflowing shape": file(one("[4294967296, 4294967296]", "[0, 4]"), bytes(4)),
        "unknown type": file(one("[1]", "[0, 4]", "F31"), bytes(4)),
        "length of the header": struct.pack("<Q", 2**62) + b"{" + bytes(100),
        "long header": file('{"__metadata__": {"args": "' + "[" * 2**24 + '"}}'),
        "deep metadata": file('{"__metadata__": {"args": "' + "[" * 10**6 + '"}}'),
        "no JSON": file("{" * 1000),
        "no text": file(b'{"\xff\xfe": 1}'),
    }


def truncations() -> dict[str, bytes]:
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for layout, legacy in (("flat", False), ("flat", True), ("bundle", False), ("safetensors", False)):
            path = Path(folder, "whole")
            write_checkpoint(small_checkpoint(), path, layout, legacy=legacy)  # type: ignore[arg-type]
            whole = path.read_bytes()
            for tenth in range(10):
                files[f"{layout}{' legacy' * legacy} cut at {tenth} tenths"] = whole[
                    : len(whole) * tenth // 10
                ]
    return files


def write_corpus(folder: Path) -> dict[str, Path]:
    """Every file of the corpus by what is wrong with it."""
    files = {**pickles(), **safetensors_files(), **truncations()}
    for name, state in states().items():
        stream = io.BytesIO()
        torch.save(state, stream)
        files[name] = stream.getvalue()
        files[f"{name}, safetensors"] = safetensors.torch.save(state)
    paths = {}
    for number, (name, data) in enumerate(files.items()):
        paths[name] = folder / f"{number}.pth"
        paths[name].write_bytes(data)
    if hasattr(os, "mkfifo"):
        paths["a pipe"], paths["a device"] = folder / "pipe.pth", Path("/dev/zero")
        os.mkfifo(paths["a pipe"])
        paths["a link to a device"] = folder / "link.pth"
        paths["a link to a device"].symlink_to("/dev/zero")
        paths["a link to itself"] = folder / "loop.pth"
        paths["a link to itself"].symlink_to("loop.pth")
    return paths


def read(path: Path) -> tuple[str, str]:
    """Kind of outcome and message."""
    try:
        described = describe(read_checkpoint(path))
        return "read", json.dumps(described)
    except GpenError as error:
        return type(error).__name__, str(error)
    except Exception as error:
        return f"FOREIGN {type(error).__name__}", str(error)


def main() -> None:
    read(Path("nothing"))
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_corpus(Path(folder))
        before = sorted(os.listdir(folder))
        for name, path in paths.items():
            began = time.perf_counter()
            kind, message = read(path)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024
            outcomes[name] = kind, message, round(time.perf_counter() - began, 2), round(grown)
        assert sorted(os.listdir(folder)) == before, "something was written"
    json.dump(outcomes, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
