from __future__ import annotations

import math

import pytest
import torch

from gpen_nodes.faces.geometry.resample import compose, extent, invert, resizing, shift, warp


def turn(angle: float, scale: float, x: float, y: float) -> torch.Tensor:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return torch.tensor([[c, -s, x], [s, c, y]], dtype=torch.float64)


def test_maps_compose_and_invert() -> None:
    point = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    first, second = turn(0.3, 1.7, 5, -1), resizing(2, 3)
    there = second @ torch.cat([first @ point, point[2:]])
    assert torch.allclose(compose(second, first) @ point, there)
    assert torch.allclose(compose(invert(first), first), shift(0, 0))
    assert torch.allclose(resizing(2, 3) @ point, torch.tensor([(3 + 0.5) * 2 - 0.5, -5.0]).double())


def test_extent_is_that_of_the_outer_edges() -> None:
    assert extent(resizing(2, 2), (3, 4)) == ((-0.5, 7.5), (-0.5, 5.5))


@pytest.mark.parametrize("density", [0.3, 1.0, 1.19, 1.3, 2.0, 3.7, 20.0])
def test_a_ramp_stays_where_it_is(density: float) -> None:
    """Whatever filters are at work, none may shift the picture."""
    ys, xs = torch.meshgrid(torch.arange(400.0), torch.arange(500.0), indexing="ij")
    size = (9, 12)
    matrix = turn(0.4, density, 0, 0)
    matrix[:, 2] = torch.tensor([250.0, 200]) - matrix[:, :2] @ torch.tensor([5.5, 4]).double()
    found = warp(torch.stack([xs, ys])[None], matrix, size)[0]
    grid = torch.stack(torch.meshgrid(torch.arange(12.0), torch.arange(9.0), indexing="xy")).double()
    expected = torch.einsum("ij,jhw->ihw", matrix[:, :2], grid) + matrix[:, 2, None, None]
    assert (found - expected).abs().max() < 0.05 * max(
        1, density
    )  # OpenCV's cubic too is off by 0.05 on a ramp


@pytest.mark.parametrize("density", [1.5, 2.0, 3.0, 7.3])
def test_what_is_too_fine_becomes_gray(density: float) -> None:
    """Stripes and checks of one pixel are beyond what the output can show."""
    ys, xs = torch.meshgrid(torch.arange(300), torch.arange(300), indexing="ij")
    pattern = torch.stack([(xs + ys) % 2, xs % 2, ys % 2]).float()[None]
    matrix = turn(0.2, density, 90, 60)
    found = warp(pattern, matrix, (20, 20))
    assert (found - 0.5).abs().max() < 0.06


def test_reads_nothing_that_it_does_not_need() -> None:
    image = torch.full((1, 1, 400, 400), float("nan"))
    image[..., 150:250, 150:250] = 0.25
    assert torch.allclose(warp(image, shift(180, 180), (40, 40)), torch.tensor(0.25))
    assert torch.allclose(warp(image, turn(0, 2, 160, 160), (30, 30)), torch.tensor(0.25))


@pytest.mark.parametrize("density", [0.7, 1.9, 4.0])
def test_gradients_reach_the_image(density: float) -> None:
    image = torch.rand(2, 3, 40, 40, requires_grad=True)
    warp(image, turn(0.1, density, 5, 5), (8, 8)).sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


def test_a_grid_outside_the_image_takes_its_border() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[..., -1] = 1
    assert torch.allclose(warp(image, shift(1000, 0), (5, 5)), torch.tensor(1.0))
