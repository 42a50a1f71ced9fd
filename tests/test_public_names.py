"""The package's facade: what is promised is there, sorted and documented."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import gpen_nodes


def test_names_are_sorted_and_exist():
    constants = [n for n in gpen_nodes.__all__ if n.isupper()]
    classes = [n for n in gpen_nodes.__all__ if n[0].isupper() and not n.isupper()]
    functions = [n for n in gpen_nodes.__all__ if n[0].islower()]
    assert gpen_nodes.__all__ == sorted(constants) + sorted(classes) + sorted(functions)
    assert all(hasattr(gpen_nodes, name) for name in gpen_nodes.__all__)


def test_everything_public_is_documented():
    documented = [getattr(gpen_nodes, n) for n in gpen_nodes.__all__ if not n.isupper()]
    assert [thing for thing in documented if not inspect.getdoc(thing)] == []


def test_nothing_public_is_forgotten():
    assert all(hasattr(gpen_nodes, name) for name in gpen_nodes.__all__)  # some load when they are asked for
    ours = {
        name
        for name, thing in vars(gpen_nodes).items()
        if not name.startswith("_")
        and not inspect.ismodule(thing)
        and name not in ("annotations", "TYPE_CHECKING")
    }
    assert ours == set(gpen_nodes.__all__)


@pytest.mark.parametrize(
    ("old", "new"),
    [("Picture", "ImageFile"), ("read_picture", "read_image_file"), ("write_picture", "write_image_file")],
)
def test_renamed_names_still_work_and_say_so(old, new):
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(gpen_nodes, old) is getattr(gpen_nodes, new)


def test_image_files_load_when_they_are_asked_for():
    code = (
        "import sys, gpen_nodes; assert 'gpen_nodes.image_files' not in sys.modules;"
        "gpen_nodes.read_image_file; assert 'gpen_nodes.image_files' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(gpen_nodes.__file__).parents[1])


def test_unknown_names_are_no_attributes():
    assert not hasattr(gpen_nodes, "read_pictures")
