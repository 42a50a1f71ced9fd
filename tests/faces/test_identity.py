from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gpen_nodes.errors import ArchitectureError
from gpen_nodes.faces.identity import FaceEmbedder, arcface_crop


@pytest.fixture(scope="module")
def embedder(shared_data: Path) -> FaceEmbedder:
    return FaceEmbedder.load(shared_data / "detectors" / "MobileFaceNet.onnx")


def test_agrees_with_onnxruntime(embedder: FaceEmbedder, shared_data: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    faces = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    session = runtime.InferenceSession(str(shared_data / "detectors" / "MobileFaceNet.onnx"))
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    (expected,) = session.run(None, {"input0": ((faces - mean) / deviation).numpy()})
    expected = torch.from_numpy(expected)
    assert torch.allclose(embedder(faces), expected / expected.norm(), atol=1e-5)


def test_embeddings_have_length_one_and_pass_gradients_to_the_face(embedder: FaceEmbedder) -> None:
    crops = torch.rand(2, 3, 128, 128, requires_grad=True)
    embedding = embedder.embed(crops, "ffhq")
    assert torch.allclose(embedding.norm(dim=1), torch.ones(2), atol=1e-5)
    embedding[:, 0].sum().backward()
    assert crops.grad is not None
    assert crops.grad.abs().sum() > 0
    assert all(p.grad is None for p in embedder.parameters())


def test_another_networks_weights_are_refused(shared_data: Path) -> None:
    with pytest.raises(ArchitectureError, match="yunet"):
        FaceEmbedder.load(shared_data / "detectors" / "face_detection_yunet_2023mar.onnx")


@pytest.mark.parametrize("size", [64, 256, 512])
def test_arcface_crop_of_gpens_template_is_its_middle(size: int) -> None:
    """GPEN pads ArcFace's square by 28 px a side to 168: pixel p of 112 shows (p + 28) / 168 of the crop."""
    ramp = torch.arange(size, dtype=torch.float32).expand(1, 1, size, size) / size
    crop = arcface_crop(torch.cat([ramp, ramp.mT, ramp], dim=1), "gpen")
    expected = (torch.arange(112) + 28) / 168
    assert torch.allclose(crop[0, 0], expected.expand(112, 112), atol=1e-3)
    assert torch.allclose(crop[0, 1].T, expected.expand(112, 112), atol=1e-3)
