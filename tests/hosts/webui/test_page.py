"""The host's page in a headless Chromium: the Extras section, the settings, Reload UI."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.hosts.webui.server import HAS_RESTORERS, encoded

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.skipif(not HAS_RESTORERS, reason="no WebUI whose page this is")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
# The result's address; the previews of a host at work are data.
SHOWN = """[...document.querySelectorAll('#extras_gallery img')]
    .map(image => image.src).find(source => source.startsWith('http')) ?? ''"""
SCREENSHOT = os.environ.get("WEBUI_SCREENSHOT", "")
"""Where to put a picture of the Extras page, or empty."""


@pytest.fixture(scope="module")
def page(server):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1300, "height": 980})
        page.set_default_timeout(15_000)
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        open_page(page, server)
        yield page
        browser.close()


def open_page(page, server) -> None:
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("#extras_gpen-visible-checkbox", state="attached", timeout=120_000)
    page.wait_for_timeout(1000)


def tab(page, name: str) -> None:
    page.locator("#tabs > .tab-nav > button", has_text=name).first.click()


def open_section(page) -> None:
    """On the Extras page; what is open is on."""
    tab(page, "Extras")
    if not page.is_checked("#extras_gpen-visible-checkbox"):
        page.locator("#extras_gpen .label-wrap").click()


def choose(page, dropdown: str, option: str) -> None:
    page.locator(f"#{dropdown} input").click()
    page.locator("[data-testid='dropdown-option']", has_text=option).first.click()


def run_extras(page, picture: Image.Image, folder: Path) -> tuple[Image.Image, str]:
    """Put a picture into Extras, press Generate: the result and its infotext."""
    upload(page, picture, folder)
    before = page.evaluate(SHOWN)
    page.locator("#extras_generate").click()
    page.wait_for_function(f"before => !['', before].includes({SHOWN})", arg=before, timeout=120_000)
    page.wait_for_timeout(500)
    source = page.evaluate(SHOWN)
    return Image.open(io.BytesIO(page.request.get(source).body())), page.locator(
        "#extras_results"
    ).inner_text()


def upload(page, picture: Image.Image, folder: Path) -> None:
    from PIL import PngImagePlugin

    notes = PngImagePlugin.PngInfo()
    for key, text in picture.info.items():
        notes.add_text(str(key), str(text))
    file = folder / f"picture-{len([*folder.iterdir()])}.png"  # to choose the same again would change nothing
    picture.save(file, pnginfo=notes)
    remove = page.locator("#extras_image [aria-label='Clear'], #extras_image [aria-label='Remove Image']")
    if remove.count():
        remove.first.click()
        page.wait_for_selector("#extras_image img", state="detached")
    page.set_input_files("#extras_image input[type=file]", file)
    page.wait_for_selector("#extras_image img")
    page.wait_for_timeout(500)


def test_extras_restores_in_the_enlarged_picture_and_keeps_alpha(page, server, portrait, expected, tmp_path):
    alpha = Image.linear_gradient("L").resize(portrait.size)
    picture = portrait.copy()
    picture.putalpha(alpha)
    open_section(page)
    choose(page, "extras_upscaler_1", "Lanczos")
    page.locator("#extras_upscaling_resize input[type=number]").fill("2")
    page.locator("#extras_gpen_visibility input[type=number]").fill("0.9")
    found, said = run_extras(page, picture, tmp_path)
    large = picture.resize((1024, 1024), Image.Resampling.LANCZOS)
    assert found.size == large.size
    colours = np.asarray(found.convert("RGB")).astype(int)
    assert np.abs(colours - expected(large, strength=0.9)).max() <= 1
    assert np.array_equal(np.asarray(found.getchannel("A")), np.asarray(large.getchannel("A")))
    assert "GPEN visibility: 0.9" in said
    assert "GPEN faces: 1 of 1" in said
    server.call("/gpen/v1/restore", {"image": encoded(portrait)})
    assert len(server.call("/test/memory")[1]["networks"]) == 1  # of both doors
    assert page.complaints == []


@pytest.mark.skipif(not SCREENSHOT, reason="WEBUI_SCREENSHOT names no file")
def test_the_readmes_screenshot(page, portrait, tmp_path):
    page.set_viewport_size({"width": 1300, "height": 1700})
    open_section(page)
    run_extras(page, portrait, tmp_path)
    page.wait_for_selector("#extras_generate", state="visible")
    page.wait_for_timeout(2000)
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOT)


def test_the_result_gives_its_settings_back(page, portrait, tmp_path):
    open_section(page)
    note = (
        "GPEN visibility: 0.7, GPEN model: gpen-lite-256.safetensors, GPEN mask softness: 0.5, "
        "GPEN min face: 33, GPEN keep detail: 0.25, GPEN keep front: False, GPEN colour: model, "
        "GPEN task: colorize"
    )
    picture = portrait.copy()
    picture.info["postprocessing"] = note
    upload(page, picture, tmp_path)
    page.locator("#extras_gpen_paste").click()
    page.wait_for_timeout(1500)
    values = {
        name: page.input_value(f"#extras_gpen_{name} input[type=number]")
        for name in ("visibility", "softness", "min_face", "keep_detail")
    }
    assert values == {"visibility": "0.7", "softness": "0.5", "min_face": "33", "keep_detail": "0.25"}
    assert not page.is_checked("#extras_gpen_keep_front input")
    assert page.input_value("#extras_gpen_colour input") == "model"
    assert page.input_value("#extras_gpen_task input") == "colorize"
    gray = portrait.convert("L").convert("RGB")
    found, said = run_extras(page, gray, tmp_path)
    assert np.ptp(np.asarray(found.convert("RGB")).astype(int), axis=-1).max() > 8
    for text in ("keep detail: 0.25", "keep front: False", "colour: model", "task: colorize"):
        assert f"GPEN {text}" in said
    picture.info["postprocessing"] = (
        "GPEN visibility: 1, GPEN model: gpen-lite-256.safetensors, Size: 512x512"
    )
    upload(page, picture, tmp_path)
    page.locator("#extras_gpen_paste").click()
    # What is not said is as usual. (Hosts read nothing of less than three parameters.)
    page.wait_for_selector("#extras_gpen_keep_front input:checked")
    assert page.input_value("#extras_gpen_task input") == "auto"


def test_a_broken_file_is_a_sentence_on_the_page(page, server, portrait, tmp_path):
    (server.folder / "models" / "GPEN" / "broken.safetensors").write_bytes(b"broken")
    open_section(page)
    page.locator("#extras_gpen_refresh").click()
    page.wait_for_timeout(1000)
    choose(page, "extras_gpen_model", "broken.safetensors")
    _, said = run_extras(page, portrait, tmp_path)
    assert "broken.safetensors" in said.partition("not restored: ")[2]
    assert "GPEN model" not in said
    assert str(server.folder) not in said
    assert "broken.safetensors" in server.said()


def test_new_models_come_with_the_refresh_button(page, server, tiny_checkpoint):
    shutil.copy(tiny_checkpoint, server.folder / "models" / "GPEN" / "fresh.safetensors")
    open_section(page)
    page.locator("#extras_gpen_refresh").click()
    page.wait_for_timeout(1000)
    choose(page, "extras_gpen_model", "fresh.safetensors")


def test_main_page_settings_paste_back(page):
    tab(page, "txt2img")
    note = "GPEN visibility: 0.6, GPEN model: gpen-lite-256.safetensors, GPEN mask softness: 0.5"
    page.locator("#txt2img_prompt textarea").fill(f"a\nSteps: 1, Sampler: Euler, {note}")
    page.locator("#txt2img_tools #paste").click()
    page.wait_for_timeout(1500)
    assert page.input_value("#txt2img_gpen_visibility input[type=number]") == "0.6"
    assert page.input_value("#txt2img_gpen_softness input[type=number]") == "0.5"


def test_main_page_restores_what_is_generated(server, portrait, expected):
    found, said = server.generate(alwayson_scripts={"GPEN": {"args": [True, 1.0]}})
    assert np.abs(found - expected(portrait)).max() <= 1
    assert "GPEN faces: 1 of 1" in said


def test_settings_list_gpen_once_even_after_reload_and_it_is_in_the_main_page(page, server):
    tab(page, "Settings")
    page.locator("#settings_restart_gradio").click()
    server.wait(starts=2)
    page = page.context.browser.new_page()  # the old one loads itself again when it likes
    open_page(page, server)
    tab(page, "Settings")
    page.locator("#settings > .tab-nav > button", has_text="Face restoration").click()
    assert page.locator("#setting_face_restoration_model label", has_text="GPEN").count() == 1
    assert page.locator("#setting_gpen_model").is_visible()
    assert page.locator("#extras_gpen").count() == 1
    assert page.locator("#txt2img_gpen").count() == page.locator("#img2img_gpen").count() == 1
