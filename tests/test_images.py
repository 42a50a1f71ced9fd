"""Conversions of format and range: they round, and come back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gpen_nodes import ImageError, from_uint8, to_uint8
from gpen_nodes.images import as_batch, check_range, from_network, resize, to_network

PHOTO = torch.linspace(0, 1, 48).reshape(1, 4, 4, 3)


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


@pytest.mark.parametrize("image", [255 * PHOTO, 65535 * PHOTO, 2 * PHOTO - 1, (PHOTO - 0.45) / 0.225])
def test_images_of_other_ranges_are_refused(image):
    with pytest.raises(ImageError, match=r"Found values from .*expected \[0, 1\]"):
        check_range(image)


def test_stray_values_are_no_other_range():
    for value in (-0.3, 1.3, 5.0, -1e30, float("nan"), float("inf")):
        spoilt = PHOTO.clone()
        spoilt[0, 0] = value
        check_range(spoilt)
    check_range(PHOTO[:0])


@pytest.mark.parametrize("image", [PHOTO.numpy(), Image.new("RGB", (4, 4)), [[0.5]], None])
def test_what_is_no_tensor_is_refused(image):
    with pytest.raises(ImageError, match="from_uint8"):
        as_batch(image)


def test_only_eight_bits_are_taken_as_such():
    for dtype in (np.uint16, np.float32, np.int64, bool):
        with pytest.raises(ImageError, match=np.dtype(dtype).name):
            from_uint8(np.zeros((4, 4, 3), dtype))
    assert from_uint8(np.asarray(Image.new("RGB", (5, 4), "white"))).tolist() == torch.ones(4, 5, 3).tolist()
