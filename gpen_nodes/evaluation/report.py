"""What a comparison found, as CSV, as a Markdown table, and as a sheet to look at."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from ..atomic import replacing
from ..images import to_uint8
from .compare import Comparison
from .measures import Measures

__all__ = ["Summary", "contact_sheet", "write_report"]

CELL, MARGIN = 320, 90
_ARROWS = {"higher": "↑", "lower": "↓", "one": "→ 1"}


class Summary:
    """Means of each level and system.

    Attributes:
        columns: the names of the measures, in order, and which way each is better.
        lines: level, system, pictures, and the mean of each column over the pictures that have one; NaN
            where none has.
        gaps: a sentence for each mean that leaves pictures out.
    """

    def __init__(self, found: Comparison, measures: Measures) -> None:
        self.columns = {
            measure.name: measure.better
            for measure in measures.each
            if any(measure.name in row.figures for row in found.rows)
        }
        groups: dict[tuple[str, str], list[dict[str, float]]] = {}
        for row in found.rows:
            groups.setdefault((row.level, row.system), []).append(row.figures)
        self.lines: list[tuple[str, str, int, list[float]]] = []
        self.gaps: list[str] = []
        for (level, system), figures in groups.items():
            means = [self._mean(name, level, system, figures) for name in self.columns]
            if found.fid:
                means.append(found.fid.get((level, system), math.nan))
            self.lines.append((level, system, len(figures), means))
        if found.fid:
            self.columns["FID"] = "lower"

    def _mean(self, name: str, level: str, system: str, figures: list[dict[str, float]]) -> float:
        values = [row[name] for row in figures if not math.isnan(row.get(name, math.nan))]
        if missing := len(figures) - len(values):
            where = " ".join(filter(None, (level, system)))
            self.gaps.append(f"{name} of {where}: {missing} of {len(figures)} pictures have none.")
        return sum(values) / len(values) if values else math.nan

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
    """Write ``figures.csv`` (every picture), ``summary.csv``, ``table.md`` and a ``sheet`` for each level."""
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
        shown = {system: pictures for (own, system), pictures in found.shown.items() if own == level}
        name = f"sheet-{level}.png".replace(" ", "-") if level else "sheet.png"
        with replacing(folder / name) as temporary:
            contact_sheet(shown).save(temporary, format="PNG")


def contact_sheet(shown: Mapping[str, Sequence[Tensor]]) -> Image.Image:
    """One row of pictures, [H, W, 3] in [0, 1], for each name, which is written beside it; truth last."""
    rows = {name: pictures for name, pictures in shown.items() if pictures}
    names = sorted(rows, key=lambda name: name == "truth")
    thumbnails = {name: [_thumbnail(picture) for picture in rows[name]] for name in names}
    width = max(image.width for images in thumbnails.values() for image in images)
    heights = [max(image.height for image in thumbnails[name]) for name in names]
    columns = max(len(images) for images in thumbnails.values())
    sheet = Image.new("RGB", (MARGIN + columns * width, sum(heights)), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for name, height in zip(names, heights, strict=True):
        draw.multiline_text((4, top + 4), _wrapped(name), fill="black")
        for column, image in enumerate(thumbnails[name]):
            sheet.paste(image, (MARGIN + column * width, top))
        top += height
    return sheet


def _thumbnail(picture: Tensor) -> Image.Image:
    image = Image.fromarray(np.asarray(to_uint8(picture)))
    image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return image


def _wrapped(name: str, width: int = 13) -> str:
    return "\n".join(name[k : k + width] for k in range(0, len(name), width))


def _plain(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
