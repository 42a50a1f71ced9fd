"""What the catalogue says, against the files that are at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpen_nodes import DETECTORS, shipped_model
from gpen_nodes.weight_files import CATALOGUE, MTCNN, SHIPPED, WeightFile, find_weights, sha256


@pytest.mark.parametrize("file", CATALOGUE.values(), ids=lambda file: file.name)
def test_an_entry_is_complete(file: WeightFile) -> None:
    assert file.licence
    assert file.needed_by
    assert file.address.startswith("https://") or file == SHIPPED
    assert "/" not in file.name
    assert "\\" not in file.name
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in file.sha256)
    assert (file.px > 0) == (file.kind == "restorer")
    # Nothing is fetched that can be checked by neither, but the files whose authors say neither.
    assert file.bytes or file.name in ("GPEN-BFR-256-D.pth", "GPEN-BFR-512-D.pth", "niqe_modelparameters.mat")


@pytest.mark.parametrize("file", CATALOGUE.values(), ids=lambda file: file.name)
def test_names_that_carry_their_digest_carry_the_right_one(file: WeightFile) -> None:
    in_name = re.search(r"-([0-9a-f]{8})\.pth$", file.name)
    assert in_name is None or file.sha256[0].startswith(in_name[1])


def test_every_detector_has_its_files() -> None:
    needed = {file.needed_by for file in CATALOGUE.values() if file.kind == "detector"}
    assert needed == {f"detector {name}" for name in DETECTORS}


def test_the_shipped_model_is_as_the_catalogue_says() -> None:
    assert shipped_model().stat().st_size == SHIPPED.bytes
    assert (sha256(shipped_model()),) == SHIPPED.sha256


def test_mtcnn_lies_in_its_wheel_as_the_catalogue_says() -> None:
    for file in MTCNN.values():
        path = find_weights(file.name)
        assert path.stat().st_size == file.bytes
        assert (sha256(path),) == file.sha256


@pytest.mark.parametrize(
    "path",
    [
        "detectors/MobileFaceNet.onnx",
        "detectors/detection_mobilenet0.25_Final.pth",
        "perceptual/vgg19_16x_5SE.pth",
    ],
)
def test_files_from_their_authors_are_as_the_catalogue_says(path: str, shared_data: Path) -> None:
    found, file = shared_data / path, CATALOGUE[Path(path).name]
    assert found.stat().st_size == file.bytes
    assert sha256(found) in file.sha256


def test_sizes_are_for_people() -> None:
    sizes = {name: CATALOGUE[name].size for name in ("alex.pth", "vgg19-dcbb9e9d.pth", "GPEN-BFR-512.pth")}
    assert list(sizes.values()) == ["6 kB", "575 MB", "about 284 MB"]
