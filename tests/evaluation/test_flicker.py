"""Figures of films whose flicker is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpen_nodes import DetectedFace
from gpen_nodes.cli import main
from gpen_nodes.evaluation.flicker import FilmFigures, alignment_jitter
from gpen_nodes.images import resize

POINTS = np.array([[60, 60], [100, 60], [80, 85], [64, 105], [96, 105]], float)


def film(count: int = 6) -> list[torch.Tensor]:
    """A soft picture that moves by whole pixels."""
    wide = resize(torch.rand(1, 20, 20, 3, generator=torch.Generator().manual_seed(0)), 200, 200)
    return [wide[:, 20:180, 10 + 2 * k : 170 + 2 * k] for k in range(count)]


def figures(restored, truth):
    measured = FilmFigures()
    for number, (ours, theirs) in enumerate(zip(restored, truth, strict=True)):
        points = tuple(map(tuple, (POINTS - np.array([2 * number, 0])).tolist()))
        measured.add(ours, theirs, [(0, DetectedFace((0, 0, 1, 1), points, 1.0, 0, (160, 160)))])
    return measured.figures()


def noisy(frames, sigma, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [frame + sigma * torch.randn(frame.shape, generator=generator) for frame in frames]


def test_the_truth_flickers_as_itself():
    truth = film()
    assert figures(truth, truth).flicker == pytest.approx(1)
    assert figures(truth, truth).psnr == pytest.approx(120)


def test_boiling_counts_and_what_moves_along_does_not():
    truth = film()
    boiling = figures(noisy(truth, 0.05), truth)
    # The mean absolute difference of two normal values of deviation σ is 2 σ / √π.
    assert boiling.difference == pytest.approx(0.05 * 2 / np.pi**0.5, rel=0.2)
    assert boiling.psnr == pytest.approx(-20 * np.log10(0.05), abs=0.2)
    darker = figures([frame * 0.8 for frame in truth], truth)
    assert darker.flicker == pytest.approx(0.8, rel=0.05)


def test_outside_of_faces_nothing_counts():
    truth = film()
    edges = [frame.clone() for frame in truth]
    for number, frame in enumerate(edges):
        frame[:, :5] = number % 2
    assert figures(edges, truth).flicker == pytest.approx(1)


def test_jitter_is_of_the_error():
    truth = [POINTS + np.array([k, 3 * k]) for k in range(8)]
    assert alignment_jitter([points + 2 for points in truth], truth) == 0
    restless = [points + np.array([(-1) ** k, 0]) for k, points in enumerate(truth)]
    assert alignment_jitter(restless, truth) == pytest.approx(2 / 40)
    assert alignment_jitter([None, *restless[1:]], truth) == pytest.approx(2 / 40)


def test_the_command_compares_films(astronaut, tmp_path, capsys):
    av = pytest.importorskip("av")
    photo = (astronaut.numpy() * 255).astype(np.uint8)
    frames = np.stack([photo[k : k + 256, 100:356] for k in range(5)])
    noise = np.random.default_rng(0).normal(0, 12, frames.shape)
    for name, pixels in (("truth", frames), ("boils", (frames + noise).clip(0, 255).astype(np.uint8))):
        with av.open(str(tmp_path / f"{name}.mkv"), "w") as output:
            stream = output.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = 256, 256, "yuv444p"
            for one in pixels:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(one, format="rgb24")))
            output.mux(stream.encode(None))
    films = [str(tmp_path / f"{name}.mkv") for name in ("truth", "boils")]
    assert main(["evaluate", "--video", *films, "--truth", films[0], "--device", "cpu"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows[0][1] == "1.00"
    assert float(rows[1][1]) > 3
    assert main(["evaluate", "--video", films[1]]) == 1
    assert "--truth" in capsys.readouterr().err
