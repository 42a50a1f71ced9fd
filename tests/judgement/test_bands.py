"""Octaves: exact, and gray stays gray."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpen_nodes.judgement.bands import join, split, to_rgb, to_ycc


@pytest.mark.parametrize("side", [64, 100, 256, 300, 512])
def test_octaves_add_up_to_the_crop(side):
    planes = torch.rand(2, side, side, generator=torch.Generator().manual_seed(side))
    assert torch.allclose(join(split(planes)), planes, atol=1e-5)


@given(st.integers(0, 2**32))
def test_colours_come_back_and_gray_has_none(seed):
    crop = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(to_rgb(to_ycc(crop)), crop, atol=1e-5)
    gray = crop[..., :1].expand(-1, -1, 3)
    assert to_ycc(gray)[1:].abs().max() == 0
    assert torch.equal(to_ycc(gray)[0], gray[..., 0])


def test_luma_is_that_of_jpeg():
    crop = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]])
    y, cb, cr = to_ycc(crop)
    assert y[0].tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert cb[0].tolist() == pytest.approx([-0.168736, -0.331264, 0.5], abs=1e-6)
    assert cr[0].tolist() == pytest.approx([0.5, -0.418688, -0.081312], abs=1e-6)


def test_colours_out_of_range_lose_saturation_not_luma():
    planes = torch.tensor([0.9, 0.3, -0.2])[:, None, None].expand(3, 2, 2)
    assert torch.allclose(to_ycc(to_rgb(planes))[0], planes[0], atol=1e-6)
