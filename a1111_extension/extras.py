"""GPEN on the Extras page, and in txt2img and img2img where the host puts postprocessing there."""
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.util
from typing import Any

import gradio as gr
import numpy as np
from gradio.context import Context
from modules import images, scripts, scripts_postprocessing, ui_common, ui_components
from PIL import Image

from gpen_nodes import from_uint8, to_uint8

from .host import Stopped
from .models import SHIPPED, model_files
from .restore import FAILURES, count, restore, tell
from .widgets import CHOICES, slider

__all__ = ["GpenExtras"]

SIZES = ["as the model", "256", "512", "1024", "2048"]
# Controls and their names in the infotext. The order is a public contract: over the API they are a list.
NAMES = {
    "visibility": "GPEN visibility",
    "model": "GPEN model",
    "detector": "GPEN detector",
    "min_face": "GPEN min face",
    "strength": "GPEN strength",
    "softness": "GPEN mask softness",
    "size": "GPEN size",
}
OUTCOME = "GPEN faces"


class GpenExtras(scripts_postprocessing.ScriptPostprocessing):
    name = "GPEN"
    order = 1500  # after the upscaler (1000), before GFPGAN (2000)

    def ui(self) -> dict[str, Any]:
        runner = scripts.scripts_current  # None on the Extras page
        tab = "extras" if runner is None else "img2img" if runner is scripts.scripts_img2img else "txt2img"
        enable, controls = _controls(f"{tab}_gpen")
        fields = [(enable, lambda found: "GPEN model" in found)]
        fields += [(controls[name], key) for name, key in NAMES.items()]
        if runner is None:
            _offer_paste(enable, fields)
        else:
            runner.infotext_fields += fields
            runner.paste_field_names += list(NAMES.values())
        return {"enable": enable, **controls}

    def process(
        self,
        pp: scripts_postprocessing.PostprocessedImage,
        enable: bool | None = None,
        visibility: float | None = None,
        **chosen: Any,
    ) -> None:
        """Restore ``pp.image``. The host's API gives None for everything: off.

        A failure costs no image: it stays as it is, and its infotext says why.
        """
        if not enable or not visibility:
            return
        pp.info.update(dict.fromkeys(NAMES.values()))  # of an earlier image of the batch
        chosen = {name: value for name, value in chosen.items() if value is not None}
        try:
            pp.image, faces = _restored(pp.image, visibility, **chosen)
        except (Stopped, *FAILURES) as error:
            pp.info[OUTCOME] = f"not restored: {tell(error)}"
            return
        pp.info[OUTCOME] = faces
        if not faces.startswith("0 "):
            pp.info.update(
                {NAMES[name]: value for name, value in {"visibility": visibility, **chosen}.items()}
            )


def _restored(
    image: Image.Image, visibility: float, *, strength: float = 1, size: str = SIZES[0], **options: Any
) -> tuple[Image.Image, str]:
    """The image with its faces restored and its alpha as it was, and how many faces that are."""
    pixels = from_uint8(np.array(image.convert("RGB")))
    side = None if size == SIZES[0] else int(size)
    result = restore(pixels, size=side, strength=strength * visibility, **options)
    restored = Image.fromarray(to_uint8(result.image[0]))
    if "A" in image.getbands():
        restored.putalpha(image.getchannel("A"))
    restored.info.update(image.info)
    return restored, count(result)


def _controls(prefix: str) -> tuple[Any, dict[str, Any]]:
    """The section, and what is in it, in the order of ``NAMES``."""

    def slide(label: str, name: str, option: str | None = None) -> Any:
        option = option or name
        value, ends = float(CHOICES[option].default), slider(option)
        return gr.Slider(value=value, label=label, elem_id=f"{prefix}_{name}", **ends)

    with ui_components.InputAccordion(False, label="GPEN", elem_id=prefix) as enable:
        with gr.Row():
            visibility = slide("Visibility", "visibility", "strength")
            model = gr.Dropdown(list(model_files()), value=SHIPPED, label="Model", elem_id=f"{prefix}_model")
            ui_common.create_refresh_button(
                model, lambda: None, lambda: {"choices": list(model_files())}, f"{prefix}_refresh"
            )
        with gr.Row():
            known = CHOICES["detector"]
            detector = gr.Dropdown(
                list(known.choices), value=known.default, label="Face detector", elem_id=f"{prefix}_detector"
            )
            min_face = slide("Smallest face, in px", "min_face")
        with gr.Row():
            strength = slide("Strength", "strength")
            softness = slide("Mask softness", "softness")
            size = gr.Dropdown(SIZES, value=SIZES[0], label="Size, in px", elem_id=f"{prefix}_size")
    values = visibility, model, detector, min_face, strength, softness, size
    return enable, dict(zip(NAMES, values, strict=True))


def _offer_paste(enable: Any, fields: list[tuple[Any, Any]]) -> None:
    """A button that sets the section as an earlier result says, if that is the page's image."""
    page = Context.root_block  # none, or another, where the host builds controls outside of its page
    known = page.blocks.values() if page is not None else ()
    picture = next((one for one in known if getattr(one, "elem_id", None) == "extras_image"), None)
    if picture is None or not importlib.util.find_spec("modules.infotext_utils"):  # which SD.Next lacks
        return

    def read(image: Image.Image | None) -> list[Any]:
        found = _infotext(image)
        values = [key(found) if callable(key) else found.get(key) for _, key in fields]
        if not found:
            return [gr.update() for _ in fields]
        return [
            gr.update() if value is None else gr.update(value=type(component.value)(value))
            for (component, _), value in zip(fields, values, strict=True)
        ]

    with enable:
        button = gr.Button("Read these settings from the picture", elem_id="extras_gpen_paste", size="sm")
    button.click(read, inputs=[picture], outputs=[component for component, _ in fields], show_progress=False)


def _infotext(image: Image.Image | None) -> dict[str, str]:
    """What an image that the host has saved says of GPEN; empty if nothing."""
    from modules import infotext_utils

    generation, items = images.read_info_from_image(image) if image is not None else (None, {})
    for text in (items.get("extras"), items.get("postprocessing"), generation):
        found = infotext_utils.parse_generation_parameters(text) if text else {}
        if NAMES["model"] in found:
            return found
    return {}
