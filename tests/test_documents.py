"""What documents point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = ("", "gpen_nodes", "docs")  # that a path may begin in


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(document):
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
    local = {link.partition("#")[0] for link in links if "://" not in link} - {""}
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_places_that_maintainers_are_sent_to_exist(name):
    """Whatever stands in code quotes and has a slash or ends in .py is a path of the repository."""
    words = re.findall(r"`([\w./]+)`", (ROOT / name).read_text(encoding="utf-8"))
    places = {word for word in words if word.endswith((".py", ".json", ".md", "/"))}
    named = {word for word in places if "/" in word}
    assert len(named) > 10
    assert [p for p in sorted(named) if not any((ROOT / folder / p).exists() for folder in FOLDERS)] == []


def test_the_host_of_the_example_is_one():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    example: dict[str, object] = {}
    exec(code.partition("\nhost = ")[0], example)  # the class alone: what follows needs the tool and an image
    host = example["MyHost"]
    assert {"device", "resident", "progress", "check_interrupt"} <= set(vars(host))  # type: ignore[call-overload]
