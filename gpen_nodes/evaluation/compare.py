"""Every picture by every system, measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import GpenError, OptionError
from ..images import resize
from .measures import Measures
from .samples import Sample, Samples, as_saved
from .systems import System

__all__ = ["Comparison", "Row", "compare"]

SHOWN = 6


@dataclass(frozen=True)
class Row:
    """Figures of one picture by one system at one level, by the names of the measures."""

    level: str
    system: str
    picture: str
    figures: dict[str, float]


@dataclass
class Comparison:
    """What was found.

    Attributes:
        rows: in the order in which they were measured.
        fid: of each level and system; empty where it isn't measured.
        shown: the first pictures of each level and system, and under ``truth`` what they should be; uint8.
        problems: a sentence for each picture that could not be measured.
    """

    rows: list[Row] = field(default_factory=list)
    fid: dict[tuple[str, str], float] = field(default_factory=dict)
    shown: dict[tuple[str, str], list[Tensor]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@torch.no_grad()
def compare(
    samples: Samples,
    systems: Sequence[System],
    measures: Measures,
    *,
    count: int | None = None,
    keep: Callable[[Sample, str, Tensor], None] | None = None,
    step: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """Let each system restore each sample at each level, and measure what comes out as it would be saved.

    What a system gives is brought to the truth's size (else to the degraded picture's) and rounded to 8 bits.

    Args:
        count: take only the first so many samples.
        keep: called with the sample, the system's name and its picture, [1, H, W, 3].
        step: called with what was found so far, after each picture.

    Raises:
        OptionError: no sample, or nothing to measure.
    """
    total = len(samples.names) if count is None else min(count, len(samples.names))
    if total < 1:
        raise OptionError(
            f"Found {len(samples.names)} pictures and a limit of {count}; expected at least one."
        )
    if len({system.name for system in systems}) < len(systems):
        raise OptionError(
            f"Found systems {', '.join(system.name for system in systems)}; expected names that differ."
        )
    found = Comparison()
    for level in samples.levels:
        for system in systems:
            for sample, picture in _restored(samples, system, level, total, found, step):
                figures = _figures(measures, picture, sample.truth)
                found.rows.append(Row(level, system.name, sample.name, figures))
                _show(found, sample, system.name, picture)
                if keep is not None:
                    keep(sample, system.name, picture)
            if measures.fid is not None and (value := measures.fid.value()) == value:
                found.fid[level, system.name] = value
    return found


def _restored(
    samples: Samples,
    system: System,
    level: str,
    total: int,
    found: Comparison,
    step: Callable[[Comparison], None] | None,
) -> Iterator[tuple[Sample, Tensor]]:
    """Each sample and the system's picture; one that fails becomes a problem, and the others go on."""
    for index in range(total):
        try:
            sample = samples.sample(level, index)
            picture = system.restore(sample)
            like = sample.degraded if sample.truth is None else sample.truth
            if like is not None:
                picture = resize(picture, *like.shape[1:3])
            yield sample, as_saved(picture)
        except GpenError as error:
            found.problems.append(f"{system.name}, {samples.names[index]}: {error}")
        if step is not None:
            step(found)


def _figures(measures: Measures, picture: Tensor, truth: Tensor | None) -> dict[str, float]:
    restored = picture.permute(0, 3, 1, 2)
    true = None if truth is None else truth.permute(0, 3, 1, 2)
    if measures.fid is not None and true is not None:
        measures.fid.add(restored, true)
    return {
        measure.name: measure.of(restored, true)
        for measure in measures.each
        if true is not None or not measure.needs_truth
    }


def _show(found: Comparison, sample: Sample, system: str, picture: Tensor) -> None:
    shown = found.shown.setdefault((sample.level, system), [])
    if len(shown) >= SHOWN:
        return
    shown.append(picture[0])
    truths = found.shown.setdefault((sample.level, "truth"), [])
    if sample.truth is not None and len(truths) < len(shown):
        truths.append(sample.truth[0])
