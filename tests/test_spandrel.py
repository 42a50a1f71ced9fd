"""GPEN as an architecture of the real spandrel, and in chaiNNer's own face node."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gpen_nodes import (
    Checkpoint,
    Gpen,
    GpenConfig,
    read_checkpoint,
    shipped_model,
    to_uint8,
    write_checkpoint,
)

spandrel = pytest.importorskip("spandrel")
ours = importlib.import_module("gpen_nodes.spandrel")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def loader():
    registry = spandrel.MAIN_REGISTRY.copy()
    ours.register(registry)
    return spandrel.ModelLoader(registry=registry)


def random_file(path: Path, **config) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Gpen(
            GpenConfig(**{"narrow": 0.125, "multiplier": 1, "style_dim": 64, "mapping_depth": 2, **config})
        )
    write_checkpoint(Checkpoint(model.state_dict(), model.config), path)
    return path


def test_nothing_is_registered_before_it_is_asked_for():
    code = (
        "import spandrel, gpen_nodes.spandrel as ours; before = 'GPEN' in spandrel.MAIN_REGISTRY;"
        "ours.register(); ours.register(); print(before, 'GPEN' in spandrel.MAIN_REGISTRY)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    "kind",
    [
        {"size": 64, "input_size": 64},
        {"size": 128, "input_size": 64},
        {"size": 64, "input_size": 64, "encoder": "resnet50"},
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_files_load_and_give_what_the_network_gives(loader, tmp_path, kind, suffix):
    if kind.get("encoder") == "resnet50" and suffix == ".pth":
        pytest.skip("a bundle holds a Namespace, which spandrel refuses")
    path = random_file(tmp_path / f"model{suffix}", **kind)
    descriptor = loader.load_from_file(path)
    assert (descriptor.architecture.id, descriptor.purpose, descriptor.scale) == ("GPEN", "FaceSR", 1)
    face = torch.rand(1, 3, 64, 64)
    expected = Gpen.from_state_dict(read_checkpoint(path).state)(face * 2 - 1)
    if expected.shape[-1] != 64:
        expected = F.interpolate(expected, (64, 64), mode="bicubic", antialias=True)
    torch.testing.assert_close(descriptor(face), ((expected + 1) / 2).clamp(0, 1), atol=1e-5, rtol=0)


def test_a_training_snapshot_in_a_known_wrapper_loads(loader, tmp_path):
    state = Gpen(GpenConfig(64, 64, 0.125, 1)).state_dict()
    torch.save(
        {"params_ema": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "run.pth"
    )
    assert loader.load_from_file(tmp_path / "run.pth").architecture.id == "GPEN"


@pytest.mark.parametrize("side", [97, 256, 512])
def test_a_face_of_any_side_comes_back_at_its_side(loader, astronaut, side):
    descriptor = loader.load_from_file(shipped_model())
    face = F.interpolate(astronaut.permute(2, 0, 1)[None, :, 0:256, 96:352], (side, side), mode="area")
    restored = descriptor(face)
    assert restored.shape == face.shape
    # The same face, not another one, mirrored, or with red and blue exchanged.
    assert (restored - face).abs().mean() < 0.06 < (restored.flip(1) - face).abs().mean()


def test_what_is_no_square_is_padded_by_spandrel_and_cut_again(loader, tmp_path):
    descriptor = loader.load_from_file(random_file(tmp_path / "m.safetensors", size=64, input_size=64))
    assert descriptor(torch.rand(1, 3, 40, 64)).shape == (1, 3, 40, 64)


def test_bfloat16_is_close_and_half_is_not_promised(loader, astronaut):
    descriptor = loader.load_from_file(shipped_model())
    face = astronaut.permute(2, 0, 1)[None, :, 0:256, 96:352]
    exact = descriptor(face)
    rough = descriptor.bfloat16()(face.bfloat16()).float()
    assert 10 * torch.log10(1 / (rough - exact).square().mean()) > 30
    with pytest.raises(spandrel.UnsupportedDtypeError):
        descriptor.half()


def test_other_networks_stay_what_they_are(loader):
    registry = loader.registry
    assert [one.architecture.id for one in registry].count("GPEN") == 1
    gfpgan = {"toRGB.0.weight": 0, "stylegan_decoder.style_mlp.1.weight": 0}
    assert not registry["GPEN"].detect(gfpgan)
    discriminator = dict.fromkeys(("convs.0.0.weight", "final_conv.0.weight", "final_linear.0.weight"))
    assert not registry["GPEN"].detect(discriminator)


@pytest.mark.parametrize("checkpoint", ["shipped", 64])
def test_chainners_own_nodes_load_it_and_restore_a_photo(checkpoint, astronaut, shared_data, tmp_path):
    """Its code as it is, from CHAINNER_DIR; ``tests/hosts/chainner_face.py`` says what stands in for what."""
    if "CHAINNER_DIR" not in os.environ:
        pytest.skip("CHAINNER_DIR names no checkout of chaiNNer")
    small = {"size": 64, "input_size": 64}
    model = shipped_model() if checkpoint == "shipped" else random_file(tmp_path / "m.safetensors", **small)
    source, result = tmp_path / "photo.png", tmp_path / "result.png"
    cv2.imwrite(str(source), to_uint8(astronaut)[..., ::-1])
    weights = shared_data / "detectors" / "detection_mobilenet0.25_Final.pth"
    backend = Path(os.environ["CHAINNER_DIR"]) / "backend" / "src"
    path = [str(ROOT), str(backend), os.environ.get("PYTHONPATH", "")]
    python = os.environ.get("CHAINNER_PYTHON", sys.executable)
    script = ROOT / "tests" / "hosts" / "chainner_face.py"
    run = subprocess.run(
        [python, script, model, source, weights, result],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split()[-2:] == ["GPEN", "FaceSR"]
    assert "Failed inference" not in run.stderr + run.stdout  # after which it pastes the face as it was
    before, after = cv2.imread(str(source)), cv2.imread(str(result))
    assert before is not None
    assert after is not None
    assert after.shape == (1024, 1024, 3)
    change = np.abs(cv2.resize(before, (1024, 1024), interpolation=cv2.INTER_LANCZOS4) - after.astype(float))
    face, elsewhere = change[180:420, 340:560].mean(), change[600:].mean()
    assert elsewhere < 0.5 < face
    assert (face < 25) == (checkpoint == "shipped")  # random weights show no face
