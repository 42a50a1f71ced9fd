"""Which process takes which sample, as a property of any run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpen_nodes.training.order import Order

small = st.integers(1, 4)


@given(small, small, small, st.integers(0, 5), small)
def test_every_number_once_and_each_step_its_own(batch, accumulate, world, first, count):
    steps = range(first, first + count)
    hands = [list(Order(steps, batch, accumulate, rank, world)) for rank in range(world)]
    assert all(len(hand) == len(Order(steps, batch, accumulate, 0, world)) for hand in hands)
    per_step = batch * accumulate * world
    for place, step in enumerate(steps):
        mine = slice(place * accumulate, (place + 1) * accumulate)
        dealt = sorted(n for hand in hands for one in hand[mine] for n in one)
        assert dealt == list(range(step * per_step, (step + 1) * per_step))


@given(small, st.integers(0, 5))
def test_a_resumed_run_goes_on_with_the_numbers_that_are_left(batch, done):
    whole = list(Order(range(9), batch, 2, 1, 2))
    assert list(Order(range(done, 9), batch, 2, 1, 2)) == whole[2 * done :]


def test_groups_of_the_discriminator_stay_together():
    """It compares every second face of a batch of eight: those that two processes of four get."""
    (one,) = Order(range(1), 8, 1, 0, 1)
    assert [next(iter(Order(range(1), 4, 1, rank, 2))) for rank in range(2)] == [one[0::2], one[1::2]]
