"""ONNX exports back to the weights that they were made from."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from gpen_nodes.checkpoints import Checkpoint, read_checkpoint
from gpen_nodes.errors import ArchitectureError, CheckpointError
from gpen_nodes.model import Gpen

from .conftest import random_checkpoint
from .onnx_graphs import Exported, Writer, field, node, tensor


def assert_close(found: Checkpoint, expected: Checkpoint, tolerance: float = 1e-6) -> None:
    assert found.config == expected.config
    assert set(found.state) == set(expected.state)
    for name, weight in expected.state.items():
        error = (found.state[name] - weight).abs().max() / weight.abs().max()
        assert error < tolerance, name
        assert found.state[name].dtype == torch.float32


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float16, 2e-3)])
def test_a_graph_becomes_weights(
    tmp_path: Path, small: Checkpoint, folded: bool, dtype: type, tolerance: float
) -> None:
    Exported(dict(small.state), folded, dtype).write(tmp_path / "w.onnx")
    found = read_checkpoint(tmp_path / "w.onnx")
    assert_close(found, small, tolerance)
    assert (found.layout, found.path) == ("onnx", tmp_path / "w.onnx")


@pytest.mark.parametrize("folded", [False, True])
def test_features_that_are_added(tmp_path: Path, small: Checkpoint, folded: bool) -> None:
    added = random_checkpoint(dataclasses.replace(small.config, concat=False))
    Exported(dict(added.state), folded).write(tmp_path / "w.onnx")
    assert_close(read_checkpoint(tmp_path / "w.onnx"), added)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, small: Checkpoint) -> Path:
    """torch's own export of our network, constants folded."""
    pytest.importorskip("onnx")
    return export(small, tmp_path_factory.mktemp("onnx") / "torch.onnx", do_constant_folding=True)


def export(checkpoint: Checkpoint, path: Path, **options: object) -> Path:
    model = Gpen.from_state_dict(checkpoint.state).eval()
    new = (
        {"dynamo": False} if torch.__version__ >= "2.5" else {}
    )  # the exporter that is everywhere, and quick
    names = {"input_names": ["input"], "output_names": ["output"], "opset_version": 17}
    with torch.no_grad():
        torch.onnx.export(model, (torch.zeros(1, 3, 64, 64),), path, **names, **new, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.filterwarnings("ignore")
def test_torchs_export(exported: Path, tmp_path: Path, small: Checkpoint) -> None:
    assert_close(read_checkpoint(exported), small)
    assert_close(read_checkpoint(export(small, tmp_path / "raw.onnx", do_constant_folding=False)), small)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tool", ["onnxsim", "onnxslim", "float16"])
def test_what_optimizers_make_of_it(exported: Path, tmp_path: Path, small: Checkpoint, tool: str) -> None:
    onnx = pytest.importorskip("onnx")

    model = onnx.load(str(exported))
    if tool == "onnxsim":
        model = pytest.importorskip("onnxsim").simplify(model)[0]
    elif tool == "onnxslim":
        model = pytest.importorskip("onnxslim").slim(model)
    else:
        model = pytest.importorskip("onnxconverter_common.float16").convert_float_to_float16(model)
    onnx.save(model, str(tmp_path / "w.onnx"))
    found = read_checkpoint(tmp_path / "w.onnx")
    assert_close(found, small, 5e-3 if tool == "float16" else 1e-6)


@pytest.mark.filterwarnings("ignore")
def test_weights_in_a_file_beside_it(exported: Path, tmp_path: Path, small: Checkpoint) -> None:
    onnx = pytest.importorskip("onnx")

    model = onnx.load(str(exported))
    onnx.save(
        model, str(tmp_path / "w.onnx"), save_as_external_data=True, location="w.data", size_threshold=0
    )
    assert_close(read_checkpoint(tmp_path / "w.onnx"), small)
    os.truncate(tmp_path / "w.data", 1000)
    with pytest.raises(CheckpointError, match="shorter than its weights"):
        read_checkpoint(tmp_path / "w.onnx")


def outside(location: str, **entries: str) -> bytes:
    weight = tensor("w", np.zeros((2, 2), np.float32), {"location": location, **entries})
    return model([node("MatMul", ["input", "w"], "y")], [weight])


def model(nodes: list[bytes], tensors: list[bytes]) -> bytes:
    graph = b"".join(field(1, each) for each in nodes) + b"".join(field(5, each) for each in tensors)
    return field(1, 8) + field(7, graph + field(11, field(1, "input")) + field(12, field(1, "y")))


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link", "a/../../secret", ""])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "w.onnx").write_bytes(outside(location))
    with pytest.raises(CheckpointError, match="outside its folder"):
        read_checkpoint(folder / "w.onnx")


def test_one_region_that_many_weights_claim(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(16))
    where = {"location": "data", "offset": "0", "length": "16"}
    tensors = [tensor(f"w{k}", np.zeros((2, 2), np.float32), where) for k in range(2)]
    (tmp_path / "w.onnx").write_bytes(model([node("MatMul", ["input", "w0"], "y")], tensors))
    with pytest.raises(CheckpointError, match="shorter than its weights"):
        read_checkpoint(tmp_path / "w.onnx")


def test_other_networks_are_told_by_their_shapes(tmp_path: Path) -> None:
    to = Writer()
    x = to.add("Conv", "input", to.const(np.zeros((4, 3, 3, 3))))
    x = to.add("Gemm", to.add("Flatten", x), to.const(np.zeros((4, 4))))
    (tmp_path / "w.onnx").write_bytes(to.model(x))
    with pytest.raises(ArchitectureError, match=r"no GPEN.* from \? to \?; expected 1×3×S×S"):
        read_checkpoint(tmp_path / "w.onnx")


def hostile() -> dict[str, bytes]:
    def one(weight: bytes, *nodes: bytes) -> bytes:
        return model([*nodes, node("MatMul", ["input", "w"], "y")], [weight])

    zeros = tensor("w", np.zeros((2, 2), np.float32))
    doubled = [node("Concat", [f"d{k}", f"d{k}"], f"d{k + 1}", axis=0) for k in range(60)]
    return {
        "no graph": field(1, 8) + field(2, "pytorch"),
        "huge shape": one(field(1, 2**39) * 4 + field(2, 1) + field(8, "w") + field(9, bytes(16))),
        "negative shape": one(field(1, -1) + field(2, 1) + field(8, "w") + field(9, bytes(4))),
        "many axes": one(field(1, 1) * 100 + field(2, 1) + field(8, "w") + field(9, bytes(4))),
        "constants that double": one(zeros, node("Identity", ["w"], "d0"), *doubled),
        "constants that expand": one(zeros, node("ConstantOfShape", ["s"], "x"))
        + field(7, field(5, tensor("s", np.array([2**40, 2**20])))),
        "a circle": model([node("Relu", ["b"], "a"), node("Relu", ["a"], "b"), node("Relu", ["b"], "y")], []),
        "many nodes": model([node("Relu", ["input"], "y")] * 20_000, []),
        "many fields": field(1, 8) + b"\x18\x00" * 2_000_000,
        "many layers": model([node("MatMul", ["input", "w"], "y")] * 500, [zeros]),
        "deep chain": model([node("Relu", [f"r{k}"], f"r{k + 1}") for k in range(9_000)], []),
        "attribute of a wrong type": one(
            zeros, node("Concat", ["w", "w"], "x", axis=0.5), node("Transpose", ["w"], "z", perm=[9, 9])
        ),
    }


@pytest.mark.parametrize("name", hostile())
def test_graphs_that_lie(tmp_path: Path, name: str) -> None:
    (tmp_path / "w.onnx").write_bytes(hostile()[name])
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(tmp_path / "w.onnx")
    assert str(raised.value).isprintable()


def test_flipped_and_missing_bytes(tmp_path: Path, small: Checkpoint) -> None:
    Exported(dict(small.state), folded=False).write(tmp_path / "w.onnx")
    whole = (tmp_path / "w.onnx").read_bytes()
    rng = np.random.default_rng(0)
    head = 12_000  # the nodes come first
    for trial in range(120):
        data = bytearray(whole if trial % 10 else whole[: rng.integers(len(whole))])
        for position in rng.integers(2, min(head, len(data)), 3):
            data[position] = rng.integers(256)
        (tmp_path / "w.onnx").write_bytes(io.BytesIO(data).getvalue())
        with contextlib.suppress(CheckpointError):
            read_checkpoint(tmp_path / "w.onnx")
