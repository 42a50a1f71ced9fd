"""RGB of decoded frames, and changes to them, beside the formulas of H.273 and swscale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpen_nodes import ImageError
from gpen_nodes.films.planes import add_change, as_planar, check_frame, to_rgb

av = pytest.importorskip("av")

LAYOUTS = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le", "gbrp", "gbrp10le"]


def frame_of(values: list[int], layout: str, *, height: int = 16, matrix: int = 1, span: int = 1):
    """A frame whose planes hold one value each."""
    frame = av.VideoFrame(16, height, layout)
    for plane, value in zip(frame.planes, values, strict=True):
        wide = frame.format.components[0].bits > 8
        np.frombuffer(plane, np.uint16 if wide else np.uint8)[:] = value
    frame.colorspace, frame.color_range = matrix, span
    return frame


@pytest.mark.parametrize(
    ("values", "layout", "matrix", "span", "expected"),
    [
        # BT.709: 100 % red is Y 63, Cb 102, Cr 240 in 8 bits of limited range; BT.601: 81, 90, 240.
        ([63, 102, 240], "yuv420p", 1, 1, (1, 0, 0)),
        ([81, 90, 240], "yuv420p", 6, 1, (1, 0, 0)),
        # BT.2020 in 10 bits: 100 % blue is Y 116, Cb 960, Cr 471.
        ([116, 960, 471], "yuv420p10le", 9, 1, (0, 0, 1)),
        # JPEG's: pure green is 150, 44, 21.
        ([150, 44, 21], "yuvj444p", 5, 2, (0, 1, 0)),
        ([235, 128, 128], "yuv444p", 1, 1, (1, 1, 1)),
        ([255, 0, 128], "gbrp", 0, 2, (128 / 255, 1, 0)),
        ([126], "gray", 2, 1, (110 / 219,) * 3),
    ],
)
def test_colours_are_those_of_the_standard(values, layout, matrix, span, expected):
    image = to_rgb(frame_of(values, layout, matrix=matrix, span=span))
    assert image.shape == (1, 16, 16, 3)
    assert torch.allclose(image[0, 8, 8], torch.tensor(expected, dtype=torch.float32), atol=0.012)


@pytest.mark.parametrize(("height", "as_matrix"), [(480, 6), (720, 1)])
def test_without_a_matrix_it_is_what_players_take(height, as_matrix):
    unknown, known = (
        to_rgb(frame_of([90, 100, 200], "yuv420p", height=height, matrix=m)) for m in (2, as_matrix)
    )
    assert torch.equal(unknown, known)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_change_is_seen_where_it_is_made_and_nowhere_else(layout):
    rng = np.random.default_rng(0)
    frame = av.VideoFrame.from_ndarray(rng.integers(60, 190, (32, 48, 3)).astype(np.uint8), format="rgb24")
    frame = frame.reformat(format=layout)
    before = [bytes(plane) for plane in frame.planes]
    image = to_rgb(frame)
    add_change(frame, torch.full((8, 12, 3), 0.13), left=16, top=8)
    after = to_rgb(frame)
    change = (after - image)[0]
    assert (change[8:16, 16:28] - 0.13).abs().max() < 0.006
    change[8:16, 16:28] = 0
    assert change.abs().max() == 0
    add_change(frame, torch.full((8, 12, 3), -0.13), left=16, top=8)
    assert [bytes(plane) for plane in frame.planes] == before


def test_odd_sides_are_whole():
    frame = av.VideoFrame(33, 17, "yuv420p")
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[:] = 100
    assert to_rgb(frame).shape == (1, 17, 33, 3)
    add_change(frame, torch.full((5, 5, 3), 0.1), left=28, top=12)
    assert (to_rgb(frame)[0, 16, 32] - to_rgb(frame)[0, 0, 0]).min() > 0.09


@pytest.mark.parametrize("layout", ["nv12", "p010le", "yuyv422", "rgb24", "bgra"])
def test_packed_layouts_are_taken_apart_without_loss(layout):
    ramp = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3) * 7 % 256
    frame = av.VideoFrame.from_ndarray(ramp.astype(np.uint8), format="rgb24").reformat(format=layout)
    planar = as_planar(frame, "film.mp4")
    back = planar.reformat(format=layout)
    assert [bytes(a) for a in back.planes] == [bytes(a) for a in frame.planes]


def test_what_is_not_read_is_a_sentence():
    with pytest.raises(ImageError, match=r"film.mp4 holds pixels as xyz12le"):
        as_planar(av.VideoFrame(16, 16, "xyz12le"), "film.mp4")
    frame = av.VideoFrame(16, 16, "yuv420p10le")
    frame.color_trc = 16
    with pytest.raises(ImageError, match=r"film.mp4 is HDR.*PQ"):
        check_frame(frame, "film.mp4")
    frame.color_trc = 18  # HLG, which is meant to be looked at as it is
    check_frame(frame, "film.mp4")
    frame.colorspace = 8
    with pytest.raises(ImageError, match="matrix 8"):
        check_frame(frame, "film.mp4")
