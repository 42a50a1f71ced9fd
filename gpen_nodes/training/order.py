"""Which sample numbers each process takes, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data import Sampler

__all__ = ["Order"]


class Order(Sampler[list[int]]):
    """A step of N faces takes the next N sample numbers, dealt to its batches like cards.

    Of the k = processes × accumulated batches of a step, batch n gets the numbers n, n + k, n + 2k and so on.
    No number is dealt twice. One process with batches of 8 and two with batches of 4 see the same faces in
    each step, and the discriminator's groups of four are the same, too.

    Args:
        steps: to deal for.
        batch: faces a batch.
        accumulate: batches a step and process.
        rank, world: this process, of how many.
    """

    def __init__(self, steps: range, batch: int, accumulate: int, rank: int, world: int) -> None:
        self.steps, self.batch, self.accumulate = steps, batch, accumulate
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return len(self.steps) * self.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        hands = self.world * self.accumulate
        for step in self.steps:
            for number in range(self.accumulate):
                first = step * hands * self.batch + number * self.world + self.rank
                yield list(range(first, first + hands * self.batch, hands))
