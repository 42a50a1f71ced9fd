"""The example workflows in ComfyUI's page, in a headless Chromium."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.hosts.graph import to_prompt

playwright = pytest.importorskip("playwright.sync_api")

WORKFLOWS = sorted((Path(__file__).resolve().parents[2] / "example_workflows").glob("*.json"))
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
LOAD = """async graph => {
    await window.app.loadGraphData(graph);
    await new Promise(done => setTimeout(done, 1500));
    const nodes = window.app.graph._nodes ?? window.app.graph.nodes;
    const known = window.LiteGraph.registered_node_types;
    const red = nodes.filter(node => node.has_errors || !known[node.type]).map(node => node.type);
    return {count: nodes.length, red, prompt: (await window.app.graphToPrompt()).output};
}"""


@pytest.fixture(scope="module")
def page(server):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    Image.new("RGB", (64, 64)).save(server.folder / "input" / "example.png")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1800, "height": 900})
        page.goto(f"http://127.0.0.1:{server.port}/")
        page.wait_for_function("!!window.LiteGraph?.registered_node_types?.GPEN_Restore", timeout=120_000)
        page.wait_for_function("!!window.app?.graph", timeout=120_000)
        yield page
        browser.close()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_node_is_red_and_the_prompt_is_the_tested_one(server, page, path):
    graph = json.loads(path.read_text())
    loaded = page.evaluate(LOAD, graph)
    assert loaded["count"] == len(graph["nodes"])
    assert loaded["red"] == []
    ours = to_prompt(graph, server.info)
    assert {*loaded["prompt"]} == {*ours}
    for number, node in ours.items():
        found = loaded["prompt"][number]
        assert found["class_type"] == node["class_type"]
        if node["class_type"].startswith("GPEN"):
            assert found["inputs"] == node["inputs"]
