"""A face parser of the user's own: what it sees in front stays, and other files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from gpen_nodes import ArchitectureError, CheckpointError, MissingWeightsError, RestoreOptions
from gpen_nodes.faces import judge_crop
from gpen_nodes.faces.parsing import FaceParser

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
S = 64
CLOTH = 16


def save(path: Path, nodes, taken, given, constants=()) -> Path:
    graph = helper.make_graph(
        nodes,
        "parser",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, given)],
        [numpy_helper.from_array(array, name) for name, array in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def occluder(path: Path) -> Path:
    """The share of what is seen is the blue of BGR, which comes first."""
    nodes = [helper.make_node("Slice", ["input", "from", "to", "axis"], ["output"])]
    numbers = [(name, np.array([v], np.int64)) for name, v in (("from", 0), ("to", 1), ("axis", 3))]
    return save(path, nodes, [1, S, S, 3], [1, S, S, 1], numbers)


def parser(path: Path, side: int | str = S) -> Path:
    """Skin has a score of 40 where red is above ImageNet's mean, cloth where it is below."""
    weights = np.zeros((19, 3, 1, 1), np.float32)
    weights[1, 0], weights[CLOTH, 0] = 40, -40
    nodes = [helper.make_node("Conv", ["input", "weights"], ["output"])]
    return save(path, nodes, [1, 3, side, side], [1, 19, side, side], [("weights", weights)])


@pytest.fixture
def crop():
    """A bright face with a black bar over its lower part: a quarter of the middle half, rows 32 to 96."""
    crop = torch.full((2 * S, 2 * S, 3), 0.8)
    crop[80:] = 0
    return crop


@pytest.mark.parametrize("make", [occluder, parser, lambda path: parser(path, "any")])
def test_a_bar_in_front_is_seen(tmp_path, crop, make):
    seen = FaceParser(make(tmp_path / "parser.onnx")).seen(crop)
    assert seen.shape == (1, 2 * S, 2 * S)
    assert seen[0, :74].min() > 0.79
    assert seen[0, 86:].max() < 0.01


def test_what_a_parser_sees_in_front_stays(tmp_path, crop):
    """The model has painted over the bar so slightly that colours alone contradict nothing."""
    after = crop + 0.02
    options = RestoreOptions().changed(
        colour="model", keep_detail=0, guard_identity=False, face_parser=parser(tmp_path / "p.onnx")
    )
    verdict = judge_crop(crop, after, options)
    torch.testing.assert_close(verdict.face[86:], crop[86:], rtol=0, atol=1e-4)
    torch.testing.assert_close(verdict.face[:74], after[:74], rtol=0, atol=2e-3)
    assert verdict.judgement is not None
    assert verdict.judgement.hidden == pytest.approx(0.25, abs=0.02)
    without = judge_crop(crop, after, options.changed(face_parser=None)).face
    assert (without[86:] - crop[86:]).abs().mean() > 0.01


def test_other_files_are_refused(tmp_path):
    with pytest.raises(MissingWeightsError, match="expected the ONNX file of a face parser"):
        FaceParser(tmp_path / "missing.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no ONNX at all")
    with pytest.raises(CheckpointError):
        FaceParser(tmp_path / "broken.onnx")
    nodes = [helper.make_node("Identity", ["input"], ["output"])]
    with pytest.raises(ArchitectureError, match="no face parser that is known here: found a graph from"):
        FaceParser(save(tmp_path / "other.onnx", nodes, [1, 3, S, S], [1, 3, S, S]))
