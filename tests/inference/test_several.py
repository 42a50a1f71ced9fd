"""Several networks as one: which of them restores which face."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from PIL import Image

from gpen_nodes import (
    Checkpoint,
    Gpen,
    GpenConfig,
    MissingWeightsError,
    OptionError,
    Restorer,
    Restorers,
    restore_image,
    to_uint8,
    write_checkpoint,
)
from gpen_nodes.cli import main
from gpen_nodes.inference import covering_size
from gpen_nodes.weight_files import model_paths, shipped_model


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny_checkpoint):
    """Models of 64 and 128 px with random weights, and nothing else in their folder."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(tiny_checkpoint, folder / "small.safetensors")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Gpen(GpenConfig(128, 128, 0.125, 1, style_dim=64, mapping_depth=2))
    write_checkpoint(Checkpoint(model.state_dict(), model.config), folder / "large.safetensors")
    return folder / "small.safetensors", folder / "large.safetensors"


@pytest.fixture(scope="module")
def both(files):
    return Restorers([Restorer.from_file(str(path)) for path in reversed(files)])


@pytest.mark.parametrize(("pixels", "size"), [(10, 256), (256, 256), (256.5, 512), (513, 1024), (5000, 1024)])
def test_the_smallest_that_covers_is_taken(pixels, size):
    assert covering_size((512, 256, 1024), pixels) == size


def test_crops_go_through_the_network_of_their_side(both, recording_host):
    assert both.input_sizes == (64, 128)
    assert both.size == 128
    host = recording_host()
    for side, size in ((48, 64), (64, 64), (100, 128), (300, 128)):
        assert both.restore(torch.full((2, side, side, 3), 0.5), host).shape == (2, size, size, 3)


def test_of_one_size_the_first_counts_and_none_is_an_error(both):
    first, second = both.restorers
    again = Restorer.from_file(first._file)
    assert Restorers([first, again, second]).restorers == (first, second)
    with pytest.raises(OptionError, match="one or more"):
        Restorers([])


def test_each_face_of_an_image_gets_its_model(both, astronaut, recording_host):
    small = torch.nn.functional.interpolate(astronaut.permute(2, 0, 1)[None], scale_factor=0.25, mode="area")[
        0
    ].permute(1, 2, 0)
    image = astronaut.clone()
    image[380:508, 380:508] = small
    result = restore_image(image, both, host=recording_host(), min_score=0.8)
    assert [len(face.crop) for face in result.aligned] == [128, 64]
    large, little = result.reports
    assert large.face.size > 80 > little.face.size
    assert "larger than the model" in large.said
    assert "for 128" in large.said
    assert "larger than the model" not in little.said
    alone = restore_image(image, both.restorers[0], host=recording_host(), min_score=0.8, indices="1")
    assert torch.allclose(alone.image[:, 390:, 390:], result.image[:, 390:, 390:], atol=1e-6)


def test_the_command_takes_several_and_a_folder(files, astronaut, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for side in (512, 128):
        Image.fromarray(to_uint8(astronaut)).resize((side, side), 3).save(photos / f"{side}.png")
    common = ["restore", "-i", str(photos), "--face_align", "--device", "cpu", "--save_faces"]
    report = tmp_path / "report.json"
    for names, out in ((map(str, files), "a"), ([str(files[0].parent)], "b")):
        where = ["-o", str(tmp_path / out), "--report", str(report), "--model_path", *names]
        assert main([*common, str(tmp_path / f"faces-{out}"), *where]) == 0
    sides = {path.name: Image.open(path).width for path in (tmp_path / "faces-a").glob("*_aligned.png")}
    assert sides == {"128_face00_aligned.png": 64, "512_face00_aligned.png": 128}
    for path in (tmp_path / "a").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    entries = json.loads(report.read_text())["images"]
    larger = {one["input"][-7:]: "larger than the model" in one["faces"][0]["said"] for one in entries}
    assert larger == {"128.png": False, "512.png": True}
    assert (
        main([*common[:3], "-o", str(tmp_path / "c"), "--size", "64", "--model_path", *map(str, files)]) != 0
    )
    assert "contradicts" in capsys.readouterr().err


def test_models_by_folder_and_all_at_hand(files, tmp_path, monkeypatch):
    assert model_paths([files[0].parent]) == sorted(files)
    with pytest.raises(MissingWeightsError, match="no model in the folder"):
        model_paths([tmp_path])
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert model_paths(["auto"]) == [shipped_model()]
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("GPEN-BFR-512.pth", "GPEN-BFR-512.pt", "GPEN-BFR-2048.pth", "GPEN-Colorization-1024.pth"):
        (folder / name).write_bytes(b"not read")
    assert [path.name for path in model_paths(["auto"])] == [
        "GPEN-BFR-512.pth",
        "GPEN-BFR-2048.pth",
        shipped_model().name,
    ]
