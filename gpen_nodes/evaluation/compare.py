"""Every picture by every system, measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
    step: Callable[[], None] | None = None,
    into: Comparison | None = None,
) -> Comparison:
    """Let each system restore each sample at each level, and measure what comes out as it would be saved.

    What a system gives is brought to the truth's size (else to the degraded picture's) and rounded to 8 bits.

    Args:
        count: take only the first so many samples.
        keep: called with the sample, the system's name and its picture, [1, H, W, 3].
        step: called after each picture.
        into: filled as it goes, so that an interrupt loses nothing; what is returned, too.

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
    found = Comparison() if into is None else into
    for level in samples.levels:
        for index in range(total):
            try:
                sample = samples.sample(level, index)
            except GpenError as error:
                found.problems.append(f"{samples.names[index]}: {error}")
                continue
            true = None if sample.truth is None else sample.truth.permute(0, 3, 1, 2)
            for system in systems:
                picture = _restored(system, sample, found)
                if picture is not None:
                    figures = _figures(measures, system.name, picture.permute(0, 3, 1, 2), true)
                    found.rows.append(Row(level, system.name, sample.name, figures))
                    _show(found, sample, system.name, picture)
                    if keep is not None:
                        keep(sample, system.name, picture)
                if step is not None:
                    step()
        if measures.fid is not None:
            values = {(level, system): value for system, value in measures.fid.values().items()}
            found.fid |= {key: value for key, value in values.items() if not math.isnan(value)}
    return found


def _restored(system: System, sample: Sample, found: Comparison) -> Tensor | None:
    """The system's picture as it would be saved; None and a problem where it has none."""
    try:
        picture = system.restore(sample)
    except GpenError as error:
        found.problems.append(f"{system.name}, {sample.name}: {error}")
        return None
    like = sample.degraded if sample.truth is None else sample.truth
    return as_saved(picture if like is None else resize(picture, *like.shape[1:3]))


def _figures(measures: Measures, system: str, picture: Tensor, true: Tensor | None) -> dict[str, float]:
    if measures.fid is not None and true is not None:
        measures.fid.add(system, picture, true)
    return {
        measure.name: measure.of(picture, true)
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
