"""The table and the sheet, with restorers whose figures are known beforehand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gpen_nodes.errors import OptionError
from gpen_nodes.evaluation.report import evaluate
from gpen_nodes.restorer import Restorer


class Identity:
    """Gives back what it gets."""

    size = 64

    def restore(self, crops: Tensor, host) -> Tensor:
        return crops


class PixelEmbedder:
    """Stands in for MobileFaceNet: a small picture, as a direction."""

    def embed(self, crops: Tensor) -> Tensor:
        assert crops.shape[1:] == (3, 64, 64)
        return F.normalize(crops[..., ::8, ::8].flatten(1) - 0.5)


@pytest.fixture
def faces(astronaut) -> list[Tensor]:
    """Eleven parts of the portrait."""
    return [astronaut[60 + 4 * k : 124 + 4 * k, 180:244] for k in range(11)]


def cells(table: str) -> dict[str, list[float]]:
    _, _, *rows = table.splitlines()
    split = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {name: [float(value) for value in values] for name, *values in split}


def test_a_restorer_that_does_nothing_has_equal_columns(faces):
    table = evaluate(Identity(), faces, embedder=PixelEmbedder())
    assert table.splitlines()[:2] == ["| 11 faces | degraded | restored |", "|---|---|---|"]
    figures = cells(table)
    assert list(figures) == ["PSNR (dB)", "gradient energy", "identity cosine"]
    assert all(degraded == restored for degraded, restored in figures.values())
    assert 15 < figures["PSNR (dB)"][0] < 35
    assert 0 < figures["gradient energy"][0] < 1
    assert 0.5 < figures["identity cosine"][0] < 1


def test_a_perfect_restorer(faces):
    class Oracle(Identity):
        def __init__(self) -> None:
            self.truths = iter(faces)

        def restore(self, crops: Tensor, host) -> Tensor:
            return next(self.truths).unsqueeze(0)

    figures = cells(evaluate(Oracle(), faces, embedder=PixelEmbedder()))
    assert figures["PSNR (dB)"][1] == float("inf")
    assert figures["gradient energy"][1] == figures["identity cosine"][1] == 1


def test_without_embedder_there_is_no_identity_row(faces):
    assert list(cells(evaluate(Identity(), faces))) == ["PSNR (dB)", "gradient energy"]


def test_seeds_reproduce_and_the_global_random_state_is_left_alone(faces):
    before = torch.get_rng_state()
    tables = [evaluate(Identity(), faces, seed=seed) for seed in (0, 0, 1)]
    assert tables[0] == tables[1] != tables[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_limit_takes_the_first_faces(faces):
    assert evaluate(Identity(), faces, limit=3) == evaluate(Identity(), faces[:3])
    assert evaluate(Identity(), faces, limit=99) == evaluate(Identity(), faces)


@pytest.mark.parametrize(("count", "limit"), [(11, 0), (11, -1), (0, None)])
def test_nothing_to_compare_is_refused(faces, count, limit):
    with pytest.raises(OptionError, match="expected at least one face"):
        evaluate(Identity(), faces[:count], limit=limit)


@pytest.mark.parametrize(("count", "columns"), [(2, 2), (11, 8)])
def test_the_sheet_has_degraded_restored_and_true_faces_in_three_rows(faces, tmp_path, count, columns):
    class Black(Identity):
        def restore(self, crops: Tensor, host) -> Tensor:
            return torch.zeros_like(crops)

    path = tmp_path / "sheet.png"
    for _ in range(2):  # the second replaces the first
        evaluate(Black(), faces[:count], sheet=path)
    with Image.open(path) as sheet:
        assert sheet.size == (columns * 64, 3 * 64)
        rows = [sheet.crop((64, 64 * k, 128, 64 * k + 64)) for k in range(3)]
    assert rows[1].getextrema() == ((0, 0),) * 3
    truth = Image.fromarray((faces[1] * 255).round().to(torch.uint8).numpy())
    assert rows[2].tobytes() == truth.tobytes()
    assert rows[0].tobytes() != truth.tobytes()


def test_a_real_restorer_is_compared_at_its_own_size(faces, tiny_checkpoint, tmp_path):
    larger = [F.interpolate(x.permute(2, 0, 1)[None], scale_factor=2)[0].permute(1, 2, 0) for x in faces[:2]]
    table = evaluate(Restorer.from_file(str(tiny_checkpoint)), larger, sheet=tmp_path / "sheet.png")
    assert table.startswith("| 2 faces |")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * 64, 3 * 64)
