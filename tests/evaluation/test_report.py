"""Tables and sheets of figures that are known beforehand."""

from __future__ import annotations

import csv
import math

import pytest
import torch
from PIL import Image

from gpen_nodes.evaluation.compare import Comparison, Row
from gpen_nodes.evaluation.measures import Measure, Measures
from gpen_nodes.evaluation.report import Summary, contact_sheet, write_report

NAN = math.nan


def nothing(picture, truth):
    raise AssertionError("a report measures nothing")


MEASURES = Measures(
    (Measure("up", "higher", nothing), Measure("down", "lower", nothing), Measure("share", "one", nothing)),
    left_out=("LPIPS is left out: it is not here.",),
)


@pytest.fixture
def found() -> Comparison:
    figures = {"a": [(10, 1, 0.5), (20, 3, 0.5)], "b": [(14, 1, 1.6), (14, NAN, 1.6)]}
    rows = [
        Row("mild", system, f"face{k}", dict(zip(("up", "down", "share"), values, strict=True)))
        for system, pictures in figures.items()
        for k, values in enumerate(pictures)
    ]
    picture = torch.full((40, 40, 3), 0.5)
    shown = {("mild", "a"): [picture] * 2, ("mild", "truth"): [picture * 0] * 2, ("mild", "b"): [picture] * 2}
    return Comparison(rows, {("mild", "a"): 7.5}, shown, ["b, face9: it was damaged."])


def test_means_the_best_in_bold_and_what_is_missing(found):
    summary = Summary(found, MEASURES)
    assert summary.markdown().splitlines() == [
        "| level | system | pictures | up ↑ | down ↓ | share → 1 | FID ↓ |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| mild | a | 2 | **15.00** | 2.000 | **0.500** | **7.500** |",
        "| mild | b | 2 | 14.00 | **1.000** | 1.600 | – |",
    ]
    assert summary.gaps == ["down of mild b: 1 of 2 pictures have none."]


def test_measures_that_nothing_was_measured_by_have_no_column(found):
    rows = [Row("", "a", row.picture, {"down": 1.0}) for row in found.rows]
    text = Summary(Comparison(rows), MEASURES).markdown()
    assert text.splitlines()[0] == "| system | pictures | down ↓ |"
    assert text.splitlines()[2] == "| a | 4 | 1.000 |"


def test_files(found, tmp_path):
    folder = tmp_path / "new" / "out"
    for _ in range(2):  # the second replaces the first
        write_report(found, MEASURES, Summary(found, MEASURES), folder, "Title.")
    assert sorted(p.name for p in folder.iterdir()) == [
        "figures.csv", "sheet-mild.png", "summary.csv", "table.md"]  # fmt: skip
    with (folder / "figures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[3].values()) == ["mild", "b", "face1", "14", "", "1.6"]
    with (folder / "summary.csv").open(newline="") as file:
        means = list(csv.DictReader(file))
    assert [float(row["up"]) for row in means] == [15, 14]
    assert [row["FID"] for row in means] == ["7.5", ""]
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table.startswith("Title.\n\n| level |")
    assert table.splitlines()[-3:] == [
        "- LPIPS is left out: it is not here.",
        "- down of mild b: 1 of 2 pictures have none.",
        "- b, face9: it was damaged.",
    ]
    with Image.open(folder / "sheet-mild.png") as sheet:
        assert sheet.size == (90 + 2 * 40, 3 * 40)
        assert sheet.getpixel((100, 100)) == (0, 0, 0)  # the truth comes last
        assert sheet.getpixel((100, 60)) == (128, 128, 128)


def test_large_pictures_are_shown_small():
    sheet = contact_sheet({"whole photos": [torch.zeros(900, 600, 3), torch.zeros(300, 600, 3)]})
    assert sheet.height == 320
    assert sheet.width == 90 + 2 * 320
