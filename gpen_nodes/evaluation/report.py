"""What a comparison found, as CSV, as a Markdown table, and as a sheet to look at."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from ..atomic import replacing
from ..images import to_uint8
from .compare import Comparison, Row
from .measures import Measures

__all__ = ["Summary", "contact_sheet", "write_report"]

CELL, HEADER = 1024, 20
_ARROWS = {"higher": "↑", "lower": "↓", "one": "→ 1"}


class Summary:
    """Means of each level and system, over the same images for all systems of a level.

    Attributes:
        columns: the names of the measures, in order, and which way each is better.
        lines: level, system, images, and the mean of each column over the images of which every system
            of the level has a figure; NaN where there is none. A system without any figure of a column does
            not count there.
        gaps: a sentence for each column and level that leaves images out.
    """

    def __init__(self, found: Comparison, measures: Measures) -> None:
        self.columns = {
            measure.name: measure.better
            for measure in measures.each
            if any(measure.name in row.figures for row in found.rows)
        }
        levels: dict[str, dict[str, list[Row]]] = {}
        for row in found.rows:
            levels.setdefault(row.level, {}).setdefault(row.system, []).append(row)
        self.lines: list[tuple[str, str, int, list[float]]] = []
        self.gaps: list[str] = []
        for level, systems in levels.items():
            columns = [self._means(name, level, systems) for name in self.columns]
            if found.fid:
                columns.append(self._fid(found, level, systems))
            for system, rows in systems.items():
                self.lines.append((level, system, len(rows), [column[system] for column in columns]))
        if found.fid:
            self.columns["FID"] = "lower"

    def _means(self, name: str, level: str, systems: dict[str, list[Row]]) -> dict[str, float]:
        """Of one column, by system."""
        figures = {system: _figures_of(name, rows) for system, rows in systems.items()}
        every = {row.picture for rows in systems.values() for row in rows}
        common = {picture for picture in every if all(picture in own for own in figures.values() if own)}
        weights = {r.picture: r.weights.get(name, 1) for rows in systems.values() for r in rows}
        total = sum(weights[picture] for picture in common)
        if len(common) < len(every):
            fewest = min(figures, key=lambda system: len(figures[system]))
            self.gaps.append(
                f"{_of(name, level)}: means over the {len(common)} of {len(every)} pictures of which all "
                f"systems have it; {fewest} has it of {len(figures[fewest])}."
            )
        return {
            system: sum(own[p] * weights[p] for p in common) / total if own and total else math.nan
            for system, own in figures.items()
        }

    def _fid(self, found: Comparison, level: str, systems: dict[str, list[Row]]) -> dict[str, float]:
        """FID by system. One with fewer images than another can't be compared and is left out."""
        most = max(map(len, systems.values()))
        values = {}
        for system, rows in systems.items():
            values[system] = found.fid.get((level, system), math.nan) if len(rows) == most else math.nan
            if len(rows) < most:
                self.gaps.append(
                    f"{_of('FID', level)}: {system} has {len(rows)} of {most} pictures, so none."
                )
        return values

    def markdown(self) -> str:
        """A table, the best figure of each level bold."""
        heads = [f"{name} {_ARROWS[better]}" for name, better in self.columns.items()]
        leveled = any(level for level, *_ in self.lines)
        head = [*(["level"] if leveled else []), "system", "pictures", *heads]
        rows = [head, ["---"] * len(head)]
        for level, system, count, means in self.lines:
            rivals = [other for own, _, _, other in self.lines if own == level]
            cells = [self._cell(k, mean, rivals) for k, mean in enumerate(means)]
            rows.append([*([level] if leveled else []), system, str(count), *cells])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"

    def _cell(self, column: int, mean: float, rivals: list[list[float]]) -> str:
        if math.isnan(mean):
            return "–"
        better = list(self.columns.values())[column]
        distance = {"higher": lambda x: -x, "lower": lambda x: x, "one": lambda x: abs(x - 1)}[better]
        best = min(distance(other[column]) for other in rivals if not math.isnan(other[column]))
        text = f"{mean:.2f}" if abs(mean) >= 10 else f"{mean:.3f}"
        return f"**{text}**" if len(rivals) > 1 and distance(mean) == best else text

    def csv(self) -> str:
        """The same in full precision."""
        rows = [["level", "system", "pictures", *self.columns]]
        rows += [
            [level, system, str(count), *map(_plain, means)] for level, system, count, means in self.lines
        ]
        return _csv(rows)


def write_report(found: Comparison, measures: Measures, summary: Summary, folder: Path, title: str) -> None:
    """Write ``figures.csv`` (every image), ``summary.csv``, ``table.md`` and a ``sheet`` for each level."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in summary.columns if name != "FID"]
    rows = [["level", "system", "picture", *names]]
    rows += [
        [row.level, row.system, row.picture, *(_plain(row.figures.get(name, math.nan)) for name in names)]
        for row in found.rows
    ]
    notes = [f"- {note}" for note in (*measures.left_out, *summary.gaps, *found.problems)]
    table = "\n".join([title, "", summary.markdown(), *notes]).rstrip() + "\n"
    for name, text in (("figures.csv", _csv(rows)), ("summary.csv", summary.csv()), ("table.md", table)):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for level in dict.fromkeys(level for level, _ in found.shown):
        shown = {system: images for (own, system), images in found.shown.items() if own == level}
        name = f"sheet-{level}.png".replace(" ", "-") if level else "sheet.png"
        with replacing(folder / name) as temporary:
            contact_sheet(shown).save(temporary, format="PNG")


def contact_sheet(shown: Mapping[str, Sequence[Tensor]]) -> Image.Image:
    """A column of images, [H, W, 3] in [0, 1], under each name: truth first, an image a row, unscaled.

    Of what is larger than 1024 px the middle is shown.
    """
    columns = {name: [_natural(one) for one in images] for name, images in shown.items() if images}
    names = sorted(columns, key=lambda name: name != "truth")
    widths = [max(image.width for image in columns[name]) for name in names]
    rows = itertools.zip_longest(*(columns[name] for name in names))
    heights = [max(image.height for image in row if image is not None) for row in rows]
    sheet = Image.new("RGB", (sum(widths), HEADER + sum(heights)), "white")
    draw, left = ImageDraw.Draw(sheet), 0
    for name, width in zip(names, widths, strict=True):
        draw.text((left + 4, 4), _fitting(draw, name, width - 8), fill="black")
        top = HEADER
        for image, height in zip(columns[name], heights, strict=False):
            sheet.paste(image, (left, top))
            top += height
        left += width
    return sheet


def _natural(picture: Tensor) -> Image.Image:
    image = Image.fromarray(np.asarray(to_uint8(picture)))
    width, height = min(image.width, CELL), min(image.height, CELL)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _fitting(draw: ImageDraw.ImageDraw, name: str, width: int) -> str:
    while len(name) > 1 and draw.textlength(name) > width:
        name = name[:-1]
    return name


def _figures_of(name: str, rows: list[Row]) -> dict[str, float]:
    """By image, where there is one."""
    return {row.picture: value for row in rows if not math.isnan(value := row.figures.get(name, math.nan))}


def _of(name: str, level: str) -> str:
    return f"{name} of {level}" if level else name


def _plain(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
