"""The part of Stable Diffusion WebUI that our extension touches, one for each host, where they differ.

As observed on A1111 1.10.1, Forge and reForge, and read in SD.Next's source; written anew, no code of theirs.
``test_stub.py`` compares the names with a real host's.
"""

from __future__ import annotations

import inspect
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

HOSTS = ("a1111", "forge", "reforge", "sdnext")


class State:
    interrupted = skipped = False
    sampling_step = sampling_steps = job_count = 0
    textinfo = None
    seen: list[tuple[int, int, str]]

    def __init__(self):
        self.seen, self.jobs = [], []

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "textinfo" and value:
            self.seen.append((self.sampling_step, self.sampling_steps, value))

    def begin(self, title=""):
        self.interrupted = self.skipped = False
        self.jobs.append(title)

    def end(self):
        self.jobs.append("end")


class OptionInfo:
    def __init__(self, default=None, label="", component=None, component_args=None, refresh=None):
        self.default, self.label, self.component = default, label, component
        self.component_args, self.refresh = component_args, refresh
        self.comment_after = ""

    def info(self, info):
        self.comment_after += info
        return self


class Options:
    def __init__(self):
        self.data: dict[str, Any] = {"face_restoration_unload": False}
        self.data_labels: dict[str, OptionInfo] = {}

    def add_option(self, key, info):
        self.data_labels[key] = info
        self.data.setdefault(key, info.default)


class NextOptions(Options):
    """SD.Next's keep what a user has chosen alone."""

    def __init__(self):
        super().__init__()
        self.data.clear()
        self.outdir_samples = self.outdir_video = ""

    def add_option(self, key, info):
        self.data_labels[key] = info


class Script:
    def title(self):
        raise NotImplementedError


class ScriptPostprocessing:
    order, name, filename = 1000, None, None


class PostprocessedImage:
    def __init__(self, image):
        self.image, self.info = image, {}


class NextPostprocessed:
    """Also of a film, which has no image."""

    def __init__(self, image=None, video=None, info=None):
        self.image, self.video, self.info = image, video, info or {}


class FaceRestoration:
    def name(self):
        return "None"


warnings: list[str] = []  # on the page
entered: list[Component] = []  # layouts, in the order in which they were opened


class Component:
    """Any of gradio's; remembers what it was made with, and what a click does."""

    def __init__(self, *args, value=None, elem_id=None, **options):
        self.args, self.value, self.elem_id, self.options = args, value, elem_id, options

    def click(self, fn, inputs, outputs, show_progress=True):
        self.fn, self.inputs, self.outputs = fn, inputs, outputs

    def __enter__(self):
        entered.append(self)
        return self

    def __exit__(self, *error):
        pass


class Checkbox(Component):
    def __init__(self, value=False, **options):
        super().__init__(value=value, **options)


class InputAccordion(Checkbox):
    pass


def build(host: str, folder: Path) -> dict[str, ModuleType]:
    """The modules of a host whose folder of models lies in ``folder``, by name."""
    opened: list[tuple[str, Any]] = []
    flags = SimpleNamespace(api=True, nowebui=False, api_auth=None, gpen_models_path=None)
    flags.gfpgan_models_path = str(folder / "GFPGAN")
    opts = NextOptions() if host == "sdnext" else Options()
    shared = {"cmd_opts": flags, "opts": opts, "state": State(), "OptionInfo": OptionInfo}
    devices = {
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "torch_gc": lambda: opened.append(("gc", 1)),
    }

    def on_app_started(callback):
        opened.append(("on_app_started", callback))
        opened.append(("frames", len(inspect.stack(0))))  # through which a host looks for who it is

    known: dict[str, dict[str, Any]] = {
        "gradio": {
            **dict.fromkeys(("Slider", "Dropdown", "Button", "Number", "Textbox"), Component),
            **dict.fromkeys(("Row", "Group", "Accordion"), Component),
            "Checkbox": Checkbox,
            "update": lambda **options: options,
        },
        "gradio.context": {"Context": SimpleNamespace(root_block=None)},
        "modules": {},
        "modules.paths": {"models_path": str(folder)},
        "modules.shared": shared,
        "modules.devices": devices,
        "modules.scripts": {
            "Script": Script,
            "AlwaysVisible": object(),
            "scripts_current": None,
            "scripts_img2img": None,
        },
        "modules.scripts_postprocessing": {
            "ScriptPostprocessing": ScriptPostprocessing,
            "PostprocessedImage": PostprocessedImage,
        },
        "modules.script_callbacks": {"on_app_started": on_app_started},
        "modules.images": {"read_info_from_image": read_info_from_image},
        "modules.call_queue": {"queue_lock": threading.Lock()},
        "modules.ui_common": {"create_refresh_button": create_refresh_button},
        "modules.ui_components": {"InputAccordion": InputAccordion},
    }
    if host == "sdnext":
        _make_next(known)
    else:
        shared["face_restorers"] = []
        devices["get_device_for"] = lambda task: torch.device("cpu")
        known["modules.face_restoration"] = {"FaceRestoration": FaceRestoration}
        known["modules.infotext_utils"] = {"parse_generation_parameters": parse_generation_parameters}
    if host == "a1111":
        known["modules.lowvram"] = {"send_everything_to_cpu": lambda: opened.append(("room", None))}
    manager = {"forge": "backend.memory_management", "reforge": "ldm_patched.modules.model_management"}
    if host in manager:

        def free_memory(memory_required, device):
            opened.append(("room", memory_required))

        known[manager[host]] = {"free_memory": free_memory}
    return _modules(known, opened)


def _make_next(known: dict[str, dict[str, Any]]) -> None:
    """What is elsewhere in SD.Next, or nothing but its name."""
    known["modules.shared"]["api"] = None  # until it has started
    known["modules.paths"]["resolve_output_path"] = lambda base_path, specific_path: specific_path
    known["gradio"]["Warning"] = warnings.append
    known["modules.scripts_postprocessing"]["PostprocessedImage"] = NextPostprocessed
    left = SimpleNamespace(infotext_fields=[], paste_field_names=[])  # of the last page that was made
    known["modules.scripts_manager"] = {"scripts_current": left}
    known["modules.infotext_utils"] = {}  # "a1111 compatibility module: unused"
    parse = {"parse_generation_parameters": parse_next}
    known["modules.generation_parameters_copypaste"] = parse


def _modules(known: dict[str, dict[str, Any]], opened: list[tuple[str, Any]]) -> dict[str, ModuleType]:
    """Modules with these names in them; ``opened``, what the host was told, is ``modules.told``."""
    made = {}
    for name, contents in known.items():
        module = made[name] = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(contents)
        parent, _, own = name.rpartition(".")
        if parent in made:
            setattr(made[parent], own, module)
    made["modules"].__path__ = []
    made["modules"].told = opened
    return made


def read_info_from_image(image):
    items = dict(image.info)
    return items.pop("parameters", None), items


def parse_generation_parameters(x):
    return dict(pair.split(": ", 1) for pair in x.split(", "))


def parse_next(infotext):
    """Numbers and truth come as such."""
    found: dict[str, Any] = {}
    for key, text in parse_generation_parameters(infotext).items():
        number = text.replace(".", "", 1).isdigit()
        found[key] = float(text) if number else {"True": True, "False": False}.get(text, text)
    return found


def create_refresh_button(refresh_component, refresh_method, refreshed_args, elem_id):
    return Component(elem_id=elem_id, refreshed=refreshed_args)
