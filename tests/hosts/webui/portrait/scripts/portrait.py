"""An extension for tests: whatever a network with random weights samples, a face is painted.

Where there is no network, ``/portrait`` gives the host's own call of its restorer on that face.
"""

import base64
import io
import os

import numpy as np
import torch
from modules import call_queue, face_restoration, script_callbacks, scripts, shared
from PIL import Image


def restored():
    """In inference mode, as Forge and reForge restore faces."""
    picture = np.array(Image.open(os.environ["GPEN_TEST_PORTRAIT"]).convert("RGB"))
    with call_queue.queue_lock, torch.inference_mode():
        shared.state.begin("portrait")
        pixels = face_restoration.restore_faces(picture)
        shared.state.end()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return {"image": base64.b64encode(stream.getvalue()).decode()}


script_callbacks.on_app_started(lambda demo, app: app.add_api_route("/portrait", restored, methods=["GET"]))


class Portrait(scripts.Script):
    def title(self):
        return "Portrait"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def postprocess_batch(self, p, *args, images, **more):
        size = images[0].shape[2], images[0].shape[1]
        picture = Image.open(os.environ["GPEN_TEST_PORTRAIT"]).convert("RGB").resize(size)
        planes = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
        for image in images:
            image.copy_(planes)
