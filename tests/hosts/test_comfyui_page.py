"""The example workflows in ComfyUI's page, in a headless Chromium."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from gpen_nodes import to_uint8
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


PICKED = """() => (window.app.graph._nodes ?? window.app.graph.nodes)
    .find(node => node.type === "GPEN_SelectFaces").widgets.find(widget => widget.name === "indices").value"""


@pytest.mark.parametrize("vue", [False, True], ids=["classic", "nodes2"])
def test_faces_are_picked_by_clicking_of_cached_runs_too(server, page, astronaut, vue):
    Image.fromarray(to_uint8(torch.cat([astronaut, astronaut], dim=1))).save(
        server.folder / "input" / "two.png"
    )
    graph = json.loads(next(path for path in WORKFLOWS if "chosen" in path.stem).read_text())
    next(node for node in graph["nodes"] if node["type"] == "LoadImage")["widgets_values"][0] = "two.png"
    page.keyboard.press("Escape")  # the page opens with a dialog
    page.evaluate("on => window.app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", vue)
    face = page.locator("button[title^='Face 1:']:visible")
    for _ in range(2):  # the second time, the host runs none of it again
        page.evaluate(LOAD, graph)
        assert face.count() == 0
        page.evaluate("async () => { await window.app.queuePrompt(0); }")
        face.click(timeout=120_000)
        assert page.evaluate(PICKED) == "1"
        face.click()
        assert page.evaluate(PICKED) == ""
    page.evaluate("window.app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
