"""LPIPS, FID and NIQE with stand-ins for their weights, against their formulas; and never a download."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import socket

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gpen_nodes import CheckpointError
from gpen_nodes.evaluation import libraries
from gpen_nodes.evaluation.measures import gather_measures
from gpen_nodes.weight_files import ALEXNET, CATALOGUE, INCEPTION, NIQE_PARAMETERS


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """An empty cache, and any use of the network fails the test."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("reached for the network"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("reached for the network"))


@pytest.fixture
def pictures(astronaut):
    """A part of the portrait, and the same with noise: two [1, 3, 224, 224]."""
    truth = astronaut[30:254, 110:334].permute(2, 0, 1)[None].contiguous()
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    return (truth + 0.1 * noise).clamp(0, 1), truth


def stand_in(monkeypatch, path) -> None:
    """Let ``path`` pass for the file that its name says."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(CATALOGUE, path.name, dataclasses.replace(CATALOGUE[path.name], sha256=(digest,)))


def test_lpips_by_its_formula(monkeypatch, tmp_path, pictures):
    torchmetrics = pytest.importorskip("torchmetrics.functional.image.lpips")
    torchvision = pytest.importorskip("torchvision")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        alexnet = torchvision.models.alexnet(weights=None)
    torch.save(alexnet.state_dict(), tmp_path / ALEXNET.name)
    stand_in(monkeypatch, tmp_path / ALEXNET.name)
    found = libraries.load_lpips([tmp_path])(*pictures)

    path = torchmetrics.__file__.replace("lpips.py", "lpips_models/alex.pth")
    heads = torch.load(path, map_location="cpu", weights_only=True)
    mean, deviation = torch.tensor([[-0.03, -0.088, -0.188], [0.458, 0.448, 0.45]]).view(2, 1, 3, 1, 1)
    x = (torch.cat(pictures) * 2 - 1 - mean) / deviation
    expected, layers = 0.0, iter(range(5))
    for layer in alexnet.features:
        x = layer(x)
        if isinstance(layer, torch.nn.ReLU):
            ours, theirs = F.normalize(x, dim=1)
            head = heads[f"lin{next(layers)}.model.1.weight"][0, :, 0, 0]
            expected += (((ours - theirs) ** 2).mean(dim=(1, 2)) @ head).item()
    assert found == pytest.approx(expected, rel=1e-4)
    assert libraries.load_lpips([tmp_path])(pictures[1], pictures[1]) == 0


def test_fid_by_its_formula(monkeypatch, tmp_path, pictures):
    fid = pytest.importorskip("torchmetrics.image.fid")
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    linalg = pytest.importorskip("scipy.linalg")
    path = tmp_path / INCEPTION.name
    torch.save({}, path)
    with monkeypatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(extractor.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        untrained = fid.NoTrainInceptionV3("inception-v3-compat", ["64"], str(path))
    torch.save(untrained.state_dict(), path)
    stand_in(monkeypatch, path)
    whole = fid.FrechetInceptionDistance  # 2048 features take half a minute of linear algebra
    monkeypatch.setattr(fid, "FrechetInceptionDistance", lambda **options: whole(feature=64, **options))

    ours = libraries.Fid([tmp_path])
    sets: list[list[torch.Tensor]] = [[], []]
    for k in range(6):
        pair = [picture.roll(37 * k, dims=3) for picture in pictures]
        ours.add("a", *pair)
        ours.add("b", pair[1], pair[1])
        for known, picture in zip(sets, pair, strict=True):
            known.append(untrained((picture * 255).round().byte())[0].double())
    a, b = (torch.stack(known).numpy() for known in sets)
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    values = ours.values()
    assert values["a"] == pytest.approx(expected, rel=1e-2)
    assert values["b"] == pytest.approx(0, abs=1e-2 * expected)
    ours.add("a", *pictures)
    assert math.isnan(ours.values()["a"])  # emptied, and one picture is no set


def test_niqe_takes_its_parameters_from_the_file(tmp_path, pictures):
    pytest.importorskip("pyiqa.archs.niqe_arch")
    savemat = pytest.importorskip("scipy.io").savemat

    def niqe(mean: np.ndarray) -> float:
        path = tmp_path / NIQE_PARAMETERS.name
        savemat(path, {"mu_prisparam": mean, "cov_prisparam": np.eye(36)})
        return libraries.load_niqe([tmp_path])(pictures[0])

    near, far = niqe(np.zeros((1, 36))), niqe(np.full((1, 36), 100.0))
    assert 0 < near < 20
    # Far away, the picture's own mean is nothing beside it: sqrt(d' ((I + S) / 2)^-1 d), S being small.
    assert far == pytest.approx(100 * 6 * math.sqrt(2), rel=0.2)
    assert math.isnan(libraries.load_niqe([tmp_path])(pictures[0][..., :150]))


def test_what_is_missing_is_named_with_its_remedy(tmp_path):
    found = gather_measures(weights=[tmp_path])
    assert [measure.name for measure in found.each] == [
        *("PSNR (dB)", "SSIM", "colour energy", "luma energy", "true detail", "sharpness", "landmarks (%)")
    ]
    assert found.fid is None
    said = "\n".join(found.left_out)
    for name in ("LPIPS", "FID", "NIQE", "Identity", "Features", "Eyes"):
        (line,) = (line for line in found.left_out if line.startswith(f"{name} is left out: "))
        assert "pip install" in line or "Get it from https://" in line or "--embedder" in line, said


@pytest.mark.parametrize("file", [ALEXNET, NIQE_PARAMETERS])
def test_a_foreign_file_is_refused(monkeypatch, tmp_path, file):
    pytest.importorskip("torchmetrics" if file is ALEXNET else "pyiqa")
    path = tmp_path / file.name
    path.write_bytes(b"no weights")
    stand_in(monkeypatch, path)
    with pytest.raises(CheckpointError, match=path.name):
        (libraries.load_lpips if file is ALEXNET else libraries.load_niqe)([tmp_path])
