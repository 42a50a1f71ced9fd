"""The stubs are as the real host is: what they have, it has."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from tests.hosts.webui import stub
from tests.hosts.webui.server import WEBUI_DIR, kind


def names_of(path: Path) -> dict[str, ast.AST]:
    """What a module defines, imports or assigns anywhere at its top."""
    names: dict[str, ast.AST] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.setdefault(node.name, node)
        elif isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            names |= names_of(Path(WEBUI_DIR, *str(node.module).split(".")).with_suffix(".py"))
        elif isinstance(node, ast.alias):
            names[(node.asname or node.name).split(".")[0]] = node
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names[node.id] = node
    return names


@pytest.mark.skipif(not WEBUI_DIR, reason="WEBUI_DIR names no WebUI")
def test_the_host_has_what_its_stub_has(tmp_path):
    missing = []
    for module, made in stub.build(kind(WEBUI_DIR), tmp_path).items():
        path = Path(WEBUI_DIR, *module.split(".")).with_suffix(".py")
        if module in ("gradio", "gradio.context", "modules"):
            continue
        real = names_of(path)
        for name, thing in vars(made).items():
            if name.startswith("__"):
                continue
            found = real.get(name)
            if found is None:
                missing.append(f"{module}.{name}")
            elif inspect.isfunction(thing) and isinstance(found, ast.FunctionDef):
                known = [argument.arg for argument in found.args.args]
                own = [p for p in inspect.signature(thing).parameters if p not in ("name", "callback")]
                missing += [f"{module}.{name}({p})" for p in own if p not in known]
    assert missing == []
