"""GPEN on the Extras page, and in txt2img and img2img where the host puts postprocessing there."""
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
import numpy as np
from gradio.context import Context
from modules import images, scripts, scripts_postprocessing, ui_common, ui_components
from PIL import Image

from gpen_nodes import TASKS, from_uint8, to_uint8

from .film import restore_film
from .host import SDNEXT, Stopped
from .models import SHIPPED, model_files
from .restore import AUTO, count, restore
from .sentences import FAILURES, tell
from .widgets import LABELS, OPTIONS, as_options, control, explain

__all__ = ["GpenExtras"]

AS_THE_MODEL = "as the model"
# Controls and their names in the infotext. The order is a public contract: over the API they are a list.
NAMES = {
    "visibility": "GPEN visibility",
    "model": "GPEN model",
    "detector": "GPEN detector",
    "min_face": "GPEN min face",
    "strength": "GPEN strength",
    "softness": "GPEN mask softness",
    "size": "GPEN size",
    "min_score": "GPEN min score",
    "quarter_turns": "GPEN quarter turns",
    "max_faces": "GPEN max faces",
    "order": "GPEN order",
    "template": "GPEN template",
    "task": "GPEN task",
    "colour": "GPEN colour",
    "keep_detail": "GPEN keep detail",
    "grain": "GPEN grain",
    "keep_front": "GPEN keep front",
    "guard_identity": "GPEN guard identity",
}
OUTCOME = "GPEN faces"
# Not on the page, but still in the list: what visibility does already, and what only says no.
UNSEEN = {"strength": 1.0, "size": AS_THE_MODEL}
JUDGED = "colour", "keep_detail", "grain", "keep_front", "guard_identity"
# Values that no infotext repeats.
UNSAID = {**UNSEEN, "task": AUTO, **{name: OPTIONS[name].default for name in JUDGED}}


class GpenExtras(scripts_postprocessing.ScriptPostprocessing):
    name = "GPEN"
    order = 1500  # after the upscaler (1000), before GFPGAN (2000)

    def ui(self) -> dict[str, Any]:
        runner = self._runner()
        tab = "extras" if runner is None else "img2img" if runner is scripts.scripts_img2img else "txt2img"
        with _section(f"{tab}_gpen", folded=runner is not None) as enable:
            controls = _controls(f"{tab}_gpen")
            fields = _fields(enable, controls)
            if runner is None:
                _offer_paste(fields)
            else:
                runner.infotext_fields += fields
                runner.paste_field_names += list(NAMES.values())
        return {"enable": enable, **controls}

    def _runner(self) -> Any:
        """Whose page is being made: of txt2img or img2img, or None of Extras."""
        if not SDNEXT:
            return scripts.scripts_current
        # There the last page's runner stays, and ``scripts`` has a copy from before; but only a script of
        # Extras is told its file.
        return None if self.filename else importlib.import_module("modules.scripts_manager").scripts_current

    def process(
        self,
        pp: scripts_postprocessing.PostprocessedImage,
        enable: bool | None = None,
        visibility: float | None = None,
        **chosen: Any,
    ) -> None:
        """Restore ``pp.image``, or SD.Next's ``pp.video``. The host's API gives None for everything: off.

        A failure costs no image: it stays as it is, and its infotext says why.
        """
        film: Any = getattr(pp, "video", None)
        image = pp.image
        if not enable or not visibility or (image is None and film is None):
            return
        pp.info.update(dict.fromkeys(NAMES.values()))  # of an earlier image of the batch
        chosen = {name: value for name, value in chosen.items() if value is not None}
        try:
            options = _options(visibility, **chosen)
            if image is not None:
                pp.image, faces = _restored(image, options)
            else:
                pp.video, faces, notes = restore_film(film, options)
                for note in notes:  # of films the page shows no infotext
                    gr.Warning(f"GPEN: {note}")
        except (Stopped, *FAILURES) as error:
            sentence = f"not restored: {tell(error)}"
            pp.info[OUTCOME] = sentence
            if image is None:
                gr.Warning(f"GPEN: {sentence}")
            return
        pp.info[OUTCOME] = faces
        if not faces.startswith("0 "):
            used = {"visibility": visibility, **chosen}
            said = {name: value for name, value in used.items() if value != UNSAID.get(name)}
            pp.info.update({NAMES[name]: value for name, value in said.items()})


def _options(
    visibility: float, *, strength: float = 1, size: str = AS_THE_MODEL, **options: Any
) -> dict[str, Any]:
    """Those of ``restore``."""
    side = None if size == AS_THE_MODEL else int(size)
    return {"size": side, "strength": strength * visibility, **as_options(options)}


def _restored(image: Image.Image, options: dict[str, Any]) -> tuple[Image.Image, str]:
    """The image with its faces restored and its alpha as it was, and how many faces that are."""
    result = restore(from_uint8(np.array(image.convert("RGB"))), **options)
    restored = Image.fromarray(to_uint8(result.image[0]))
    if "A" in image.getbands():
        restored.putalpha(image.getchannel("A").resize(restored.size))
    restored.info.update(image.info)
    return restored, count(result)


@contextmanager
def _section(elem_id: str, folded: bool) -> Iterator[Any]:
    """The section around what is made within; gives the control that is true where it shall run.

    Args:
        elem_id: of the section.
        folded: whether SD.Next's has to fold; on its Extras page the host draws a section of its own.
    """
    if not SDNEXT:
        with ui_components.InputAccordion(False, label="GPEN", elem_id=elem_id) as enable:
            yield enable
        return
    # Its InputAccordion is a remnant: it opens and stays off.
    with gr.Accordion("GPEN", open=False, elem_id=elem_id) if folded else gr.Group(elem_id=elem_id):
        yield gr.Checkbox(False, label="Restore faces with GPEN", elem_id=f"{elem_id}_enable")


def _controls(prefix: str) -> dict[str, Any]:
    """What is in the section, in the order of ``NAMES``."""

    def make(name: str, label: str = "", option: str = "") -> Any:
        component, value, more = control(option or name)
        label, info = label or LABELS[name], explain(option or name)
        return component(value=value, label=label, info=info, elem_id=f"{prefix}_{name}", **more)

    made = {}
    with gr.Row():
        made["model"] = gr.Dropdown(
            list(model_files()), value=SHIPPED, label="Model", elem_id=f"{prefix}_model"
        )
        ui_common.create_refresh_button(
            made["model"], lambda: None, lambda: {"choices": list(model_files())}, f"{prefix}_refresh"
        )
    with gr.Row():
        made["visibility"] = make("visibility", "Visibility", "strength")
        made["task"] = gr.Dropdown(
            [AUTO, *(task for task in TASKS if task != "inpaint")],  # which needs a mask
            value=AUTO,
            label="Task",
            info="What the model was trained to do; auto is what its file says or is called.",
            elem_id=f"{prefix}_task",
        )
    for row in (
        ("detector", "min_score", "quarter_turns"),
        ("min_face", "max_faces", "order"),
        ("template", "softness"),
        JUDGED[:3],
        JUDGED[3:],
    ):
        with gr.Row():
            made |= {name: make(name) for name in row}
    # Without a label, hosts keep no other defaults for them.
    made["strength"] = gr.Number(value=UNSEEN["strength"], visible=False)
    made["size"] = gr.Textbox(value=UNSEEN["size"], visible=False)
    return {name: made[name] for name in NAMES}


def _fields(enable: Any, controls: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Which control is set by what of an infotext: a name, or what is made of all of them."""

    def visible(found: dict[str, Any]) -> float | None:
        """Older pictures, and calls of the API, have two factors."""
        factors = [found.get(NAMES[name]) for name in ("visibility", "strength")]
        return None if factors[0] is None else float(factors[0]) * float(factors[1] or 1)

    def usual(name: str) -> Callable[[dict[str, Any]], Any]:
        """Where ours is said, what is not said has its usual value."""
        return lambda found: found.get(NAMES[name], UNSAID[name]) if NAMES["model"] in found else None

    fields: list[tuple[Any, Any]] = [
        (enable, lambda found: NAMES["model"] in found),
        (controls["visibility"], visible),
    ]
    return fields + [
        (controls[name], usual(name) if name in UNSAID else key)
        for name, key in NAMES.items()
        if name not in ("visibility", *UNSEEN)
    ]


def _offer_paste(fields: list[tuple[Any, Any]]) -> None:
    """A button that sets the section as an earlier result says, if that is the page's image."""
    page = Context.root_block  # none, or another, where the host builds controls outside of its page
    known = page.blocks.values() if page is not None else ()
    picture = next((one for one in known if getattr(one, "elem_id", None) == "extras_image"), None)
    if picture is None:
        return

    def read(image: Image.Image | None) -> list[Any]:
        found = _infotext(image)
        values = [key(found) if callable(key) else found.get(key) for _, key in fields]
        if not found:
            return [gr.update() for _ in fields]
        return [
            gr.update() if value is None else gr.update(value=_as(type(component.value), value))
            for (component, _), value in zip(fields, values, strict=True)
        ]

    button = gr.Button("Read these settings from the picture", elem_id="extras_gpen_paste", size="sm")
    button.click(read, inputs=[picture], outputs=[component for component, _ in fields], show_progress=False)


def _as(kind: type, text: Any) -> Any:
    return str(text) == "True" if kind is bool else kind(text)


def _infotext(image: Image.Image | None) -> dict[str, Any]:
    """What an image that the host has saved says of GPEN; empty if nothing."""
    parse = importlib.import_module(
        "modules.generation_parameters_copypaste" if SDNEXT else "modules.infotext_utils"
    ).parse_generation_parameters
    generation, items = images.read_info_from_image(image) if image is not None else (None, {})
    for text in (items.get("extras"), items.get("postprocessing"), generation):
        found = parse(text) if text else {}
        if NAMES["model"] in found:
            return found
    return {}
