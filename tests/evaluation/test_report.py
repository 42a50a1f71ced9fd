"""Tables and sheets of figures that are known beforehand."""

from __future__ import annotations

import csv
import math

import numpy as np
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
        "| mild | a | 2 | **15.00** | **1.000** | **0.500** | **7.500** |",
        "| mild | b | 2 | 14.00 | **1.000** | 1.600 | – |",
    ]
    assert summary.gaps == [
        "down of mild: means over the 1 of 2 pictures of which all systems have it; b has it of 1."
    ]


def table(*figures, fid=None):
    """Lines of a table of one measure, from dictionaries of it by picture, for systems a, b, …"""
    rows = [
        Row("", system, picture, {"up": value})
        for system, own in zip("abc", figures, strict=False)
        for picture, value in own.items()
    ]
    summary = Summary(Comparison(rows, fid or {}), MEASURES)
    return [line[2:] for line in summary.markdown().splitlines()[2:]], summary.gaps


def test_who_has_only_the_easy_pictures_does_not_win_by_that():
    lines, gaps = table({"easy": 30, "hard": 20}, {"easy": 29})
    assert lines == ["a | 2 | **30.00** |", "b | 1 | 29.00 |"]
    assert gaps == ["up: means over the 1 of 2 pictures of which all systems have it; b has it of 1."]


def test_who_has_no_figure_at_all_takes_none_from_the_others():
    lines, gaps = table({"x": 30.0, "y": 20.0}, {"x": NAN, "y": NAN}, {"x": 10.0, "y": 31.0})
    assert lines == ["a | 2 | **25.00** |", "b | 2 | – |", "c | 2 | 20.50 |"]
    assert not gaps


def test_systems_without_a_common_picture_are_not_compared():
    lines, gaps = table({"x": 30.0}, {"y": 20.0})
    assert lines == ["a | 1 | – |", "b | 1 | – |"]
    assert "over the 0 of 2 pictures" in gaps[0]


def test_a_picture_counts_as_much_as_its_weight_says():
    rows = [Row("", "a", "x", {"up": 1.0}, {"up": 3}), Row("", "a", "y", {"up": 5.0}, {"up": 1})]
    assert "| a | 2 | 2.000 |" in Summary(Comparison(rows), MEASURES).markdown()


def test_fid_of_fewer_pictures_is_left_out():
    lines, gaps = table({"x": 3.0, "y": 2.0}, {"x": 3.0}, fid={("", "a"): 9.0, ("", "b"): 5.0})
    assert lines == ["a | 2 | **3.000** | **9.000** |", "b | 1 | **3.000** | – |"]
    assert gaps[1] == "FID: b has 1 of 2 pictures, so none."


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
        "- down of mild: means over the 1 of 2 pictures of which all systems have it; b has it of 1.",
        "- b, face9: it was damaged.",
    ]
    with Image.open(folder / "sheet-mild.png") as sheet:
        assert sheet.size == (3 * 40, 20 + 2 * 40)
        assert sheet.getpixel((20, 90)) == (0, 0, 0)  # the truth comes first
        assert sheet.getpixel((60, 90)) == (128, 128, 128)


def test_pictures_are_shown_as_they_are_and_of_large_ones_the_middle():
    steep = torch.linspace(0, 1, 512).view(1, 512, 1).expand(512, 512, 3)
    marked = torch.zeros(1500, 1400, 3)
    marked[750, 700] = 1
    sheet = contact_sheet({"a": [steep, marked], "a name that is far too long" * 9: [torch.zeros(8, 8, 3)]})
    assert sheet.size == (1024 + 8, 20 + 512 + 1024)
    row = np.asarray(sheet)[300, :512, 0].tolist()
    assert row == [round(255 * x / 511) for x in range(512)]
    assert sheet.getpixel((512, 20 + 512 + 512)) == (255, 255, 255)
    assert sheet.getpixel((511, 20 + 512 + 512)) == (0, 0, 0)
