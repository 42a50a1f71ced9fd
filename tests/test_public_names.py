"""The package's facade: what is promised is there, sorted and documented."""

from __future__ import annotations

import inspect

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
    ours = {
        name
        for name, thing in vars(gpen_nodes).items()
        if not name.startswith("_") and not inspect.ismodule(thing) and name != "annotations"
    }
    assert ours == set(gpen_nodes.__all__)
