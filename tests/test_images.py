"""Conversions of format and range: they round, and come back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gpen_nodes import ImageError, from_uint8, to_uint8
from gpen_nodes.images import as_batch, from_network, resize, to_network


def test_every_uint8_value_comes_back():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(to_uint8(from_uint8(values)), values)
    assert np.array_equal(to_uint8(from_network(to_network(from_uint8(values)[None])))[0], values)


@given(st.floats(-2, 3, width=32))
def test_rounds_to_nearest_and_clamps(value):
    got = int(to_uint8(torch.full((1, 1, 3), value))[0, 0, 0])
    assert abs(got - min(max(value, 0), 1) * 255) <= 0.5 + 1e-4


def test_network_range():
    image = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)
    assert to_network(image).flatten().tolist() == [-1, 0, 1]
    assert from_network(torch.tensor([-3.0, 0.0, 3.0]).view(1, 3, 1, 1)).flatten().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(13, 60), (9, 7)])
def test_resizes_as_pillow_does(mode, size):
    image = torch.rand(2, 30, 40, 3, generator=torch.Generator().manual_seed(0))
    found = resize(image, *size, mode=mode)
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    for k in range(2):
        for channel in range(3):
            plane = Image.fromarray(image[k, :, :, channel].numpy())  # 32-bit floats, not clamped
            expected = np.asarray(plane.resize(size[::-1], filters[mode])).clip(0, 1)
            np.testing.assert_allclose(found[k, :, :, channel], expected, atol=1e-5)


def test_resizing_to_the_same_size_copies_nothing():
    image = torch.rand(1, 4, 5, 3)
    assert resize(image, 4, 5) is image


def test_as_batch_adds_an_axis_and_copies_nothing():
    image = torch.rand(4, 5, 3)
    assert as_batch(image).shape == (1, 4, 5, 3)
    assert as_batch(image).data_ptr() == image.data_ptr()


@pytest.mark.parametrize(
    "bad", [torch.zeros(4, 5), torch.zeros(1, 3, 8, 8), torch.zeros(2, 2, 3, dtype=torch.uint8)]
)
def test_refuses_what_is_no_image(bad):
    with pytest.raises(ImageError, match=r"\[B, H, W, C\]"):
        as_batch(bad)
