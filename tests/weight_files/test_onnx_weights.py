from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpen_nodes.errors import CheckpointError
from gpen_nodes.weight_files import read_onnx_weights


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name: str, dims: bytes, dtype: int, values: bytes) -> bytes:
    return field(5, dims + field(2, dtype) + values + field(8, name.encode()))


FLOATS = struct.pack("<6f", 0, 1, -2, 3.5, 1e-30, 5)
MODEL = (
    field(1, 8)  # ir_version
    + field(2, b"producer")
    + field(
        7,
        field(2, b"graph")
        + tensor("raw", field(1, 2) + field(1, 3), 1, field(9, FLOATS))
        + tensor("floats", field(1, varint(6)), 1, field(4, FLOATS))
        + tensor("scalar", b"", 1, field(9, FLOATS[4:8]))
        + tensor("shape", field(1, 1), 7, field(9, bytes(8)))
        + tensor("wide", field(1, 0) + field(1, 300), 1, b""),
    )
)


def test_reads_raw_and_listed_floats_and_leaves_out_other_types(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(MODEL)
    weights = read_onnx_weights(tmp_path / "model.onnx")
    assert list(weights) == ["raw", "floats", "scalar", "wide"]
    expected = torch.tensor([0, 1, -2, 3.5, 1e-30, 5])
    assert torch.equal(weights["raw"], expected.view(2, 3))
    assert torch.equal(weights["floats"], expected)
    assert weights["scalar"].item() == 1
    assert weights["wide"].shape == (0, 300)


@given(cut=st.integers(0, len(MODEL) - 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_cut_file_is_refused_by_name(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(MODEL[:cut])
    with pytest.raises(CheckpointError, match=r"cut\.onnx"):
        read_onnx_weights(path)


@given(garbage=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_garbage_is_refused(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "garbage.onnx"
    path.write_bytes(garbage)
    with pytest.raises(CheckpointError):
        read_onnx_weights(path)


def test_weights_in_another_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "split.onnx"
    path.write_bytes(field(7, tensor("away", field(1, 1), 1, field(14, 1))))
    with pytest.raises(CheckpointError, match="another file"):
        read_onnx_weights(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        read_onnx_weights(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize("name", ["MobileFaceNet.onnx", "face_detection_yunet_2023mar.onnx"])
def test_agrees_with_the_onnx_package(shared_data: Path, name: str) -> None:
    onnx = pytest.importorskip("onnx")
    path = shared_data / "detectors" / name
    initializers = onnx.load(path).graph.initializer
    expected = {i.name: torch.from_numpy(onnx.numpy_helper.to_array(i).copy()) for i in initializers}
    expected = {k: v for k, v in expected.items() if v.dtype == torch.float32}
    found = read_onnx_weights(path)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[k], expected[k]) for k in found)
