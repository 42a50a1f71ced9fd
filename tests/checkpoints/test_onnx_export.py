"""A model written as ONNX: what onnxruntime makes of it, who loads it, and that it reads back."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from gpen_nodes.checkpoints import read_checkpoint, write_checkpoint
from gpen_nodes.checkpoints.onnx.write import write_onnx
from gpen_nodes.cli import main
from gpen_nodes.model import Gpen, GpenConfig

from .conftest import random_checkpoint

SMALL = GpenConfig(64, 64, narrow=0.0625, multiplier=1, style_dim=32, mapping_depth=2)
KINDS = {
    "concatenated": SMALL,
    "added": dataclasses.replace(SMALL, concat=False),
    "larger": dataclasses.replace(SMALL, size=128),
    "larger, added": dataclasses.replace(SMALL, size=128, concat=False),
    "resnet50": dataclasses.replace(SMALL, encoder="resnet50"),
    "resnet50, grown": dataclasses.replace(SMALL, size=128, input_size=128, encoder="resnet50", octaves=1),
}


def run(data: bytes, faces: np.ndarray) -> np.ndarray:
    """As ReActor and facefusion do: the input by its name, a whole float32 picture, the first output."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (inputs,), (outputs,) = session.get_inputs(), session.get_outputs()
    assert (inputs.name, outputs.name, inputs.type, outputs.type) == (
        "input",
        "output",
        *["tensor(float)"] * 2,
    )
    return session.run(None, {"input": faces})[0]


def decibels(output: np.ndarray, expected: np.ndarray) -> float:
    """Against a peak of what is there, since random weights fill no range."""
    peak = 2 * np.abs(expected).max()
    return 10 * np.log10(peak**2 / np.square(output.astype(np.float64) - expected).mean())


def random_network(kind: str) -> Gpen:
    state = dict(random_checkpoint(KINDS[kind]).state)
    if KINDS[kind].encoder == "resnet50":  # whose weights are stored as they are used
        for name, tensor in state.items():
            if name.startswith("encoder.") and tensor.dim() > 1:
                state[name] = tensor / tensor[0].numel() ** 0.5
    return Gpen.from_state_dict(state).requires_grad_(False)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_is_the_same_function(kind: str) -> None:
    network = random_network(kind)
    faces = torch.rand(2, 3, network.config.input_size, network.config.input_size) * 2 - 1
    expected = network(faces).numpy()
    assert decibels(run(write_onnx(network), faces[:1].numpy()), expected[:1]) > 100
    assert decibels(run(write_onnx(network, batch=None), faces.numpy()), expected) > 100
    assert decibels(run(write_onnx(network, half=True), faces[:1].numpy()), expected[:1]) > 60


@pytest.mark.parametrize("kind", ["concatenated", "added", "larger", "larger, added"])
@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-6), (True, 2e-3)])
def test_it_reads_back(kind: str, half: bool, tolerance: float, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(KINDS[kind])
    (tmp_path / "w.onnx").write_bytes(write_onnx(Gpen.from_state_dict(checkpoint.state), half))
    found = read_checkpoint(tmp_path / "w.onnx")
    assert found.config == checkpoint.config
    for name, tensor in checkpoint.state.items():
        expected = tensor.float()
        assert (found.state[name] - expected).abs().max() <= tolerance * expected.abs().max(), name


def test_styles_that_would_overflow_half(tmp_path: Path) -> None:
    state = dict(random_checkpoint(SMALL).state)
    for name in state:
        if name.endswith("modulation.bias"):
            state[name] = state[name] + 3e4
    network = Gpen.from_state_dict(state)
    face = torch.rand(1, 3, 64, 64) * 2 - 1
    assert np.isfinite(run(write_onnx(network, half=True), face.numpy())).all()


def test_onnxs_own_checker_takes_it() -> None:
    onnx = pytest.importorskip("onnx")
    data = write_onnx(Gpen.from_state_dict(random_checkpoint(SMALL).state), half=True)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(random_checkpoint(SMALL), tmp_path / "in.pth")
    source, target = str(tmp_path / "in.pth"), tmp_path / "out.onnx"
    assert main(["export", source, str(target), "--batch", "dynamic"]) == 0
    assert run(target.read_bytes(), np.zeros((3, 3, 64, 64), np.float32)).shape == (3, 3, 64, 64)
    assert capsys.readouterr().out == f"{target}: 64 px in, 64 px out\n"
    before = target.read_bytes()
    assert main(["export", source, str(target), "--batch", "0"]) == 1
    assert "expected a number of faces" in capsys.readouterr().err
    assert main(["export", source, str(tmp_path / "none" / "out.onnx")]) == 1
    assert "Check the path" in capsys.readouterr().err
    assert target.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"in.pth", "out.onnx"}
