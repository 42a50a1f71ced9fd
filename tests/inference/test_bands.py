"""Maps that are made row by row are the whole map, made once and held in part."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gpen_nodes.inference.folded.bands import MARGIN, Stream


def make_stream(height: int, band: int, border: int) -> tuple[Stream, Tensor, list[tuple[int, int]]]:
    whole = torch.arange(2.0 * 3 * height * 5).view(2, 3, height, 5) + 1
    made: list[tuple[int, int]] = []

    def make(first: int, last: int) -> tuple[Tensor, Tensor]:
        made.append((first, last))
        rows = whole[:, :, first:last]
        return rows[:, :1], rows[:, 1:]

    return Stream(whole.shape, whole, make, band, border), whole, made


@given(
    height=st.integers(1, 70),
    band=st.integers(1, 40),
    border=st.integers(0, 1),
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1),
)
def test_rows_are_those_of_the_whole_and_each_is_made_once(height, band, border, steps):
    stream, whole, made = make_stream(height, band, border)
    framed = torch.nn.functional.pad(whole, (border, border, border, border))
    first = last = -border
    for forget, more in steps:
        first, last = min(first + forget, last), min(last + more, height + border)
        assert torch.equal(stream(first, last), framed[:, :, first + border : last + border])
    assert all(one[1] == next_[0] for one, next_ in pairwise(made))
    assert made[0][0] == 0


def test_rows_that_are_passed_are_forgotten():
    stream, _, made = make_stream(200, 16, 0)
    for row in range(200):
        stream(row, row + 1)
        assert stream._held.shape[2] <= 16 + MARGIN
    assert {last - first for first, last in made[1:-1]} == {16}


def test_a_finished_map_lets_go_of_what_it_was_made_of():
    stream, _, _ = make_stream(20, 8, 0)
    stream(0, 20)
    assert not hasattr(stream, "_make")


@pytest.mark.parametrize("band", [8, 64])
def test_drain_makes_all_and_holds_none(band):
    stream, _, made = make_stream(40, band, 0)
    stream.drain()
    assert (made[0][0], made[-1][1]) == (0, 40)
    assert stream._held.shape[2] == 0
