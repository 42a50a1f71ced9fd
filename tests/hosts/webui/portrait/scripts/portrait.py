"""An extension for tests: whatever a network with random weights samples, a face is painted.

``/test/portrait`` gives the host's own call of its restorer on that face; ``/test/memory`` what GPEN keeps;
``/test/processed`` what SD.Next's page Process makes of a file.
"""

# Runs inside the WebUI, whose modules these are.
# pyright: reportMissingImports=false

import base64
import gc
import io
import os
import sys

import numpy as np
import torch
from modules import call_queue, devices, postprocessing, script_callbacks, scripts, shared
from PIL import Image

cleared = []  # a call of the host's devices.torch_gc each


def painted():
    return np.array(Image.open(os.environ["GPEN_TEST_PORTRAIT"]).convert("RGB"))


def restored():
    """In inference mode, as Forge and reForge restore faces."""
    from modules import face_restoration  # which SD.Next lacks

    with call_queue.queue_lock, torch.inference_mode():
        shared.state.begin("portrait")
        pixels = face_restoration.restore_faces(painted())
        shared.state.end()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return {"image": base64.b64encode(stream.getvalue()).decode()}


def processed(path: str, film: bool = False):
    """What SD.Next's page Process makes of a file with GPEN alone; its API drops what it says of it."""
    none = dict.fromkeys(("upscaling_resize", "upscaling_resize_w", "upscaling_resize_h", "upscaling_crop"))
    none |= dict.fromkeys(("extras_upscaler_1", "extras_upscaler_2", "extras_upscaler_2_visibility"))
    none |= dict.fromkeys(("image_folder", "input_dir", "output_dir", "show_extras_results", "resize_mode"))
    chosen = {"GPEN": {"enable": True, "visibility": 1.0}}
    image = None if film else Image.open(path)
    with call_queue.queue_lock:
        made, video, info, _ = postprocessing.run_extras(
            3 if film else 0, image=image, video=path, save_output=False, script_args=chosen, **none
        )
    stream = io.BytesIO()
    if made:
        made[0].save(stream, "PNG")
    return {"image": base64.b64encode(stream.getvalue()).decode(), "film": video, "info": info}


def memory():
    """GPEN's networks, also those only waiting for the garbage collector; how often the device was cleared;
    GPEN's device where the host names "meta"."""
    found = [id(one.module) for one in gc.get_objects() if type(one).__name__ == "Restorer"]
    given, devices.get_device_for = devices.get_device_for, lambda task: torch.device("meta")
    try:
        device = sys.modules["a1111_extension.host"].WebuiHost().device.type
    finally:
        devices.get_device_for = given
    return {"networks": found, "cleared": len(cleared), "device": device}


def started(demo, app):
    app.add_api_route("/test/portrait", restored, methods=["GET"])
    app.add_api_route("/test/memory", memory, methods=["GET"])
    app.add_api_route("/test/processed", processed, methods=["GET"])
    clear = devices.torch_gc
    devices.torch_gc = lambda: cleared.append(1) or clear()


script_callbacks.on_app_started(started)


class Portrait(scripts.Script):
    def title(self):
        return "Portrait"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def postprocess_batch_list(self, p, pp, *args, **more):
        """At the portrait's own size, so that the network may paint small pictures."""
        pp.images[:] = [
            (torch.from_numpy(painted()).permute(2, 0, 1) / 255).to(one.device) for one in pp.images
        ]
