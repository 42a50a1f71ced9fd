"""Colouring, filling and faces from maps: networks of another task, through the same steps."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gpen_nodes import (
    Checkpoint,
    Gpen,
    GpenConfig,
    LocalHost,
    OptionError,
    Restorer,
    get_restorer,
    read_checkpoint,
    restore_crops,
    restore_image,
    shipped_model,
    to_uint8,
    write_checkpoint,
)
from gpen_nodes.checkpoints import find_task
from gpen_nodes.cli import main
from gpen_nodes.images import with_luma
from gpen_nodes.model.names import to_released_names

CPU = LocalHost("cpu")
BT601 = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)


def luma(image: torch.Tensor) -> torch.Tensor:
    return image.double()[..., :3] @ BT601


@pytest.fixture(scope="module")
def network() -> Gpen:
    """A network of 64 px whose weights are random, with a picture about as strong as a photo."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Gpen(GpenConfig(64, 64, 0.125, 1))


def restorer_of(network: Gpen, task: str) -> Restorer:
    return Restorer(Checkpoint(network.state_dict(), network.config), task=task)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("GPEN-BFR-512.pth", "restore"),
        ("GPEN-Colorization-1024.pth", "colorize"),
        ("gpen_colourise.safetensors", "colorize"),
        ("GPEN-Inpainting-1024.pth", "inpaint"),
        ("GPEN-Seg2face-512.pth", "seg2face"),
        ("my-segmentation-to-face.onnx", "seg2face"),
        ("best.pth", "restore"),
    ],
)
def test_a_name_tells_the_task(name, task):
    assert find_task({}, Path("inpainting") / name) == task
    assert find_task({"task": "restore"}, Path(name)) == "restore"  # what the file itself says goes first
    assert find_task({"task": 3}, Path(name)) == task


@pytest.mark.parametrize("layout", ["safetensors", "bundle"])
def test_the_task_stays_known_in_a_file_of_another_name(network, tmp_path, layout):
    write_checkpoint(Checkpoint(network.state_dict(), network.config), tmp_path / "GPEN-Colorization-64.pth")
    target = tmp_path / f"mine.{'safetensors' if layout == 'safetensors' else 'pth'}"
    assert main(["convert", str(tmp_path / "GPEN-Colorization-64.pth"), str(target), "--layout", layout]) == 0
    assert read_checkpoint(target).task == "colorize"
    assert get_restorer(target, "fp32", "cpu", keep=False).task == "colorize"
    assert get_restorer(target, "fp32", "cpu", keep=False, task="restore").task == "restore"


def test_a_copy_keeps_its_task_and_an_unknown_one_is_refused(tiny_checkpoint):
    restorer = get_restorer(tiny_checkpoint, "fp32", "cpu", keep=False, task="inpaint")
    assert pickle.loads(pickle.dumps(restorer)).task == "inpaint"
    with pytest.raises(OptionError, match="colorize"):
        get_restorer(tiny_checkpoint, "fp32", "cpu", keep=False, task="colour")


@given(st.lists(st.floats(0, 1, width=32), min_size=6, max_size=6))
def test_luma_is_kept_and_colours_stay_within_range(values):
    colours, other = torch.tensor(values).reshape(2, 3)
    result = with_luma(colours, other)
    assert 0 <= result.min() <= result.max() <= 1
    assert abs(luma(result) - luma(other)) < 1e-6
    gray = torch.full((3,), values[0])
    assert (with_luma(gray, other) - luma(other)).abs().max() < 1e-6


def test_a_photo_is_coloured_where_faces_are_and_keeps_its_luma(astronaut):
    gray = luma(astronaut).float()[None, ..., None]
    restorer = get_restorer(shipped_model(), "fp32", "cpu", task="colorize")
    result = restore_image(gray, restorer, host=CPU)
    assert result.image.shape == (1, 512, 512, 3)
    (face,) = result.faces
    assert face.crop is not None
    assert (luma(result.image) - luma(gray.expand(-1, -1, -1, 3))).abs().max() < 1e-5
    colour = result.image.amax(-1) - result.image.amin(-1)
    assert colour[0, 60:200, 160:290].mean() > 0.01  # the model of faces in colours makes skin of gray
    assert torch.equal(result.image[result.mask == 0], gray.expand(-1, -1, -1, 3)[result.mask == 0])


def test_colours_of_the_input_have_no_say(network, astronaut):
    crop = astronaut[None, :64, :64]
    gray = luma(crop).float()[..., None].expand(-1, -1, -1, 3)
    restorer = restorer_of(network, "colorize")
    torch.testing.assert_close(
        restore_crops(restorer, crop, CPU), restore_crops(restorer, gray, CPU), atol=1e-4, rtol=0
    )


def test_a_hole_is_filled_and_the_rest_keeps_its_bits(astronaut):
    photo, mask = astronaut[None], torch.zeros(512, 512)
    mask[120:135, 200:240] = 1  # a part of a cheek and of the nose
    mask[400:440, 20:60] = 1  # no face is there to fill
    broken = torch.where(mask[..., None] > 0, 0.0, photo)
    result = restore_image(
        broken, get_restorer(shipped_model(), "fp32", "cpu", task="inpaint"), mask=mask, host=CPU
    )
    changed = (result.image != broken).any(-1)[0]
    assert changed[120:135, 200:240].all()
    assert not changed[mask == 0].any()
    assert not changed[400:440, 20:60].any()


def test_what_lies_under_the_mask_has_no_say(network, astronaut):
    photo = astronaut[None]
    mask = torch.zeros(512, 512)
    mask[120:135, 200:240] = 1
    restorer = restorer_of(network, "inpaint")
    # Faces are found in the picture as it is, so what is under the mask changes by a little.
    pair = [photo, torch.where(mask[..., None] > 0, photo.flip(-1) * 0.9, photo)]
    boxes = [restore_image(one, restorer, mask=mask, host=CPU) for one in pair]
    assert len(boxes[0].aligned) == len(boxes[1].aligned) == 1
    holes = [(one.aligned[0].crop == 1).all(-1) for one in boxes]
    assert holes[0].sum() > 20
    assert (holes[0] ^ holes[1]).float().mean() < 0.01


def test_a_map_goes_in_and_comes_out_without_a_shift_of_range(network):
    parts = torch.rand(2, 64, 64, 3)
    with torch.no_grad():
        expected = network(parts.permute(0, 3, 1, 2)).clamp(0, 1).permute(0, 2, 3, 1)
    found = restore_crops(restorer_of(network, "seg2face"), parts, CPU)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert not torch.allclose(restore_crops(restorer_of(network, "restore"), parts, CPU), expected, atol=0.1)


def test_what_makes_no_sense_is_a_sentence(network, astronaut):
    photo = astronaut[None]
    with pytest.raises(OptionError, match="restore_crops"):
        restore_image(photo, restorer_of(network, "seg2face"), host=CPU)
    with pytest.raises(OptionError, match="--mask"):
        restore_image(photo, restorer_of(network, "inpaint"), host=CPU)
    with pytest.raises(OptionError, match="mask of shape"):
        restore_image(photo, restorer_of(network, "inpaint"), mask=torch.ones(9, 9), host=CPU)


@pytest.fixture
def run(network, tmp_path):
    """``gpen-nodes restore`` with the network as a file of a telling name."""

    def call(name: str, *words: object) -> int:
        path = tmp_path / name
        write_checkpoint(Checkpoint(network.state_dict(), network.config), path)
        fixed = ["restore", "--device", "cpu", "--dtype", "fp32", "--model_path", str(path)]
        return main([*fixed, *map(str, words)])

    return call


def save(path: Path, image: np.ndarray) -> Path:
    Image.fromarray(image).save(path)
    return path


def load(path: Path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file)


def test_the_command_colours_gray_files(run, astronaut, tmp_path):
    gray = save(tmp_path / "gray.png", np.round(luma(astronaut).numpy() * 255).astype(np.uint8))
    for words in (["--face_align"], ["--force"]):
        assert run("GPEN-Colorization-64.pth", "-i", gray, "-o", tmp_path / "out.png", *words) == 0
        out = load(tmp_path / "out.png")
        assert out.shape == (512, 512, 3)
        assert np.ptp(out.astype(int), axis=-1).max() > 10
        assert np.abs(out @ BT601.numpy() - load(gray)).max() < 1  # rounding


def test_the_command_fills_by_a_mask(run, astronaut, tmp_path, capsys):
    photo = save(tmp_path / "photo.png", to_uint8(astronaut))
    hole = np.zeros((512, 512), np.uint8)
    hole[120:135, 200:240] = 255
    mask = save(tmp_path / "mask.png", hole)
    for words in (["--face_align"], ["--force"]):
        words = [*words, "-i", photo, "-o", tmp_path / "out.png", "--mask", mask]
        assert run("GPEN-Inpainting-64.pth", *words) == 0
        changed = (load(tmp_path / "out.png") != load(photo)).any(-1)
        assert changed[hole > 0].mean() > 0.9
        assert not changed[hole == 0].any()
    small = save(tmp_path / "small.png", hole[:99])
    out = tmp_path / "other.png"
    assert run("GPEN-Inpainting-64.pth", "-i", photo, "-o", out, "--mask", small, "--face_align") == 1
    assert "512×512 px, and the mask 512×99" in capsys.readouterr().err
    assert run("GPEN-Inpainting-64.pth", "-i", photo, "-o", out, "--face_align") == 1
    assert run("GPEN-BFR-64.pth", "-i", photo, "-o", out, "--mask", mask, "--face_align") == 1
    assert run("x.pth", "--task", "inpaint", "-i", photo, "-o", out, "--mask", tmp_path / "gone.png") == 1
    assert not out.exists()


def test_the_command_makes_faces_of_maps(run, tmp_path, capsys):
    parts = save(tmp_path / "map.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    out = tmp_path / "out.png"
    assert run("any.pth", "--task", "seg2face", "-i", parts, "-o", out) == 0
    assert load(out).shape == (64, 64, 3)
    assert run("any.pth", "--task", "seg2face", "-i", parts, "-o", out, "--face_align") == 1
    assert "without --face_align" in capsys.readouterr().err


@pytest.mark.skipif(
    "GPEN_REFERENCE" not in os.environ, reason="GPEN_REFERENCE names no checkout of yangxy/GPEN"
)
@pytest.mark.parametrize("task", ["colorize", "inpaint", "seg2face"])
def test_agrees_with_the_originals_own_classes(task, network, astronaut, tmp_path, monkeypatch):
    root = Path(os.environ["GPEN_REFERENCE"])
    for folder in (root / "face_model", root):
        monkeypatch.syspath_prepend(str(folder))
    (tmp_path / "weights").mkdir()
    torch.save(to_released_names(network.state_dict()), tmp_path / "weights" / "random.pth")
    sides = {"in_size": 64, "out_size": 64, "channel_multiplier": 1, "narrow": 0.125}
    common = {"base_dir": str(tmp_path), "model": "random", "device": "cpu", **sides}
    crop = cv2.resize(to_uint8(astronaut)[20:240, 110:330], (64, 64), interpolation=cv2.INTER_AREA)
    image = torch.from_numpy(crop)[None].float() / 255
    chroma = np.zeros(0)
    if task == "colorize":
        theirs = __import__("face_colorization").FaceColorization(**common)
        gray = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2BGR)
        colours = theirs.process(gray)[0]
        expected = theirs.post_process(gray, colours)
        chroma = cv2.cvtColor(colours, cv2.COLOR_BGR2YUV)[..., 1:]
        image = torch.from_numpy(gray)[None].float() / 255
    elif task == "inpaint":
        crop[30:40, 20:50] = 255  # the white strokes of its demo
        image = torch.from_numpy(crop)[None].float() / 255
        expected = __import__("face_inpainting").FaceInpainting(**common).process(crop[..., ::-1].copy())[0]
    else:
        maker = __import__("segmentation2face").Segmentation2Face(**common, is_norm=False)
        expected = maker.process(crop[..., ::-1].copy())[0]
    for name, module in [*sys.modules.items()]:  # they have names that others may have
        if str(getattr(module, "__file__", None) or "").startswith(str(root)):
            sys.modules.pop(name)
    found = to_uint8(restore_crops(restorer_of(network, task), image, CPU))[0].astype(int)
    difference = np.abs(found - expected[..., ::-1].astype(int))
    if task == "colorize":
        # Its 8-bit YUV rounds, and cuts U, V and colours at 0 and 255 where ours become paler.
        inside = ((expected > 0) & (expected < 255)).all(-1) & ((chroma > 0) & (chroma < 255)).all(-1)
        assert inside.mean() > 0.3
        assert difference[inside].max() <= 4
    else:
        assert difference.max() <= 1  # it cuts fractions off, and we round
