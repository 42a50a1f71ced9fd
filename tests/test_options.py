"""Options as values: checked where they are made, described once."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpen_nodes import (
    AlignOptions,
    DetectOptions,
    JudgeOptions,
    OptionError,
    PasteOptions,
    RestoreOptions,
    SelectOptions,
)
from gpen_nodes.options import gather

KNOWN = RestoreOptions().described()
PARTS = (DetectOptions, SelectOptions, AlignOptions, JudgeOptions, PasteOptions)
WRONG = {
    "detector": ["yolo", 1, None],
    "detector_weights": [3, b"x"],
    "min_score": ["0.5", 1.1, -0.1, math.nan, None, True],
    "quarter_turns": ["yes", 1, None],
    "smallest": [-1, "20"],
    "order": ["age", 3],
    "point": [(0.5,), "12", (0, math.nan), (0, "x"), 3, None],
    "min_likeness": [2, "x", math.nan],
    "min_face": [-1, "20", None],
    "max_face": [-1, "20", None],
    "indices": ["x", 3],
    "max_faces": [0, 1.5, "2", True],
    "template": ["arcface", ["gpen"]],
    "border": ["wrap", 0],
    "strength": [1.5, "1", None],
    "softness": [0, 1.01, "x"],
    "match_colour": ["", 0],
    "colour": ["red", 1],
    "keep_detail": [1.5, "all"],
    "grain": [-0.1, None],
    "keep_front": [1, None],
    "face_parser": [3],
    "guard_identity": ["yes"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_an_error_names_option_value_and_what_is_expected(name, value):
    part = next(one for one in PARTS if name in one().described())
    for make in (part, RestoreOptions().changed):
        with pytest.raises(OptionError, match=f"^{name} is .*; expected "):
            make(**{name: value})


def test_every_option_is_described_once_and_none_is_left_untested():
    names = [field.name for part in PARTS for field in dataclasses.fields(part)]
    assert len(set(names)) == len(names)
    assert set(names) == KNOWN.keys() == WRONG.keys()
    assert all(one.text.endswith(".") and len(one.text) > 20 for one in KNOWN.values())


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "strength": st.floats(0, 1),
            "min_face": st.integers(0, 9999) | st.floats(0, 9999),
            "max_faces": st.none() | st.integers(1, 99),
            "quarter_turns": st.booleans(),
            "template": st.sampled_from(["gpen", "ffhq"]),
        },
    )
)
def test_values_arrive_where_they_belong(values):
    options = gather(RestoreOptions, None, values)
    found = options.described()
    assert {name: one.default for name, one in found.items()} == {
        **{name: one.default for name, one in KNOWN.items()},
        **values,
    }
    assert options == RestoreOptions().changed(**values)
    assert options.changed(**{name: KNOWN[name].default for name in values}) == RestoreOptions()


def test_numbers_of_numpy_are_numbers():
    # Ignored by the type checker, which does not take NumPy's numbers for Python's.
    PasteOptions(strength=np.float32(0.5), match_colour=np.bool_(True))  # type: ignore[arg-type]
    SelectOptions(min_face=np.int64(3), max_faces=np.int64(2))  # type: ignore[arg-type]


def test_options_of_another_step_are_refused():
    with pytest.raises(OptionError, match="AlignOptions; expected PasteOptions"):
        gather(PasteOptions, AlignOptions(), {})  # pyright: ignore
    with pytest.raises(OptionError, match="detect is 'mtcnn'; expected DetectOptions"):
        RestoreOptions(detect="mtcnn")  # pyright: ignore
    with pytest.raises(OptionError, match=r"unknown options: colour, sharp\. Known are strength"):
        PasteOptions().changed(sharp=1, colour=2)


def test_what_is_expected_reads_as_a_sentence():
    assert KNOWN["strength"].expected == "a number from 0 to 1"
    assert KNOWN["softness"].expected == "a number above 0, up to 1"
    assert KNOWN["min_face"].expected == "a number of 0 or more"
    assert KNOWN["max_faces"].expected == "a whole number of 1 or more, or None"
    assert KNOWN["template"].expected == "one of gpen, ffhq"
