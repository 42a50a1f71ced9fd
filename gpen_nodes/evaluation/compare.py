"""Every image by every system, measured."""

from __future__ import annotations

import math
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
    """Figures of one image by one system at one level, by the names of the measures.

    ``weights`` say how much the image counts in the mean of a measure; 1 where nothing is said.
    """

    level: str
    system: str
    picture: str
    figures: dict[str, float]
    weights: dict[str, float] = field(default_factory=dict)


@dataclass
class Comparison:
    """What was found.

    Attributes:
        rows: in the order in which they were measured.
        fid: of each level and system; empty where it isn't measured.
        shown: some images of each level and system, [H, W, 3], from all parts of the set, and under
            ``truth`` the true ones.
        problems: a sentence for each image that could not be measured.
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
    seen: Callable[[Sample, str, Tensor | None], None] | None = None,
    into: Comparison | None = None,
) -> Comparison:
    """Let each system restore each sample at each level, and measure what comes out as it would be saved.

    What a system gives is brought to the truth's size (else to the degraded image's) and rounded to 8 bits.

    Args:
        count: take only the first so many samples.
        seen: called with each sample, each system's name, and its image, [1, H, W, 3], or None without.
        into: filled during the comparison, so that an interrupt loses nothing; it is also what is returned.

    Raises:
        OptionError: no sample, or two systems of one name.
    """
    total = len(samples.names) if count is None else min(count, len(samples.names))
    _check(samples, systems, total, count)
    found = Comparison() if into is None else into
    chosen = range(0, total, math.ceil(total / SHOWN))
    for level in samples.levels:
        for index in range(total):
            for sample, system, image in _restored(samples, systems, level, index, found):
                if image is not None:
                    figures = _figures(measures, system, image.permute(0, 3, 1, 2), sample.planes)
                    weights = _weights(measures, sample.planes)
                    found.rows.append(Row(level, system, sample.name, figures, weights))
                if index in chosen:
                    _show(found, sample, system, image)
                if seen is not None:
                    seen(sample, system, image)
        if measures.fid is not None:
            values = {(level, system): value for system, value in measures.fid.values().items()}
            found.fid |= {key: value for key, value in values.items() if not math.isnan(value)}
    return found


def _check(samples: Samples, systems: Sequence[System], total: int, count: int | None) -> None:
    if total < 1:
        raise OptionError(
            f"Found {len(samples.names)} pictures and a limit of {count}; expected at least one."
        )
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise OptionError(f"Found systems {', '.join(names)}; expected names that differ.")


def _restored(
    samples: Samples, systems: Sequence[System], level: str, index: int, found: Comparison
) -> Iterator[tuple[Sample, str, Tensor | None]]:
    """Each system's image as it would be saved; None, and a problem, where it has none."""
    try:
        sample = samples.sample(level, index)
    except GpenError as error:
        found.problems.append(f"{samples.names[index]}: {error}")
        return
    like = sample.degraded if sample.truth is None else sample.truth
    for system in systems:
        try:
            image = system.restore(sample)
        except GpenError as error:
            found.problems.append(f"{system.name}, {sample.name}: {error}")
            yield sample, system.name, None
        else:
            image = image if like is None else resize(image, *like.shape[1:3])
            yield sample, system.name, as_saved(image)


def _figures(measures: Measures, system: str, image: Tensor, true: Tensor | None) -> dict[str, float]:
    if measures.fid is not None and true is not None:
        measures.fid.add(system, image, true)
    return {
        measure.name: measure.of(image, true)
        for measure in measures.each
        if true is not None or not measure.needs_truth
    }


def _weights(measures: Measures, true: Tensor | None) -> dict[str, float]:
    if true is None:
        return {}
    return {measure.name: measure.weight(true) for measure in measures.each if measure.weight is not None}


def _show(found: Comparison, sample: Sample, system: str, image: Tensor | None) -> None:
    truths = found.shown.setdefault((sample.level, "truth"), [])
    shown = found.shown.setdefault((sample.level, system), [])
    # White where there is none, so that later images keep their rows.
    shown.append(torch.ones(1, 1, 3) if image is None else image[0])
    if sample.truth is not None and len(truths) < len(shown):
        truths.append(sample.truth[0])
