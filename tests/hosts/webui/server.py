"""A real Stable Diffusion WebUI on a port of this machine, driven over its HTTP API."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WEBUI_DIR = os.environ.get("WEBUI_DIR", "")
"""Of a real WebUI, or empty."""
PARTS = ("a1111_extension", "gpen_nodes", "scripts", "weights", "__init__.py", "install.py", "preload.py")
# On a CPU, without a download. A host ignores the flags that it doesn't know.
FLAGS = """--skip-prepare-environment --skip-torch-cuda-test --skip-version-check --no-download-sd-model
    --no-half --skip-load-model-at-start"""
CPU = "--use-cpu all --always-cpu"
# SD.Next takes no flag that it doesn't know, and its installer would change the packages that are there.
SDNEXT = "--skip-all --skip-torch --skip-requirements --skip-git --skip-env --ignore --use-cpu all --no-half"
GENERATION = {"prompt": "a", "steps": 1, "width": 64, "height": 64, "cfg_scale": 1, "sampler_name": "Euler"}


def kind(folder: str) -> str:
    """Which of the hosts lies in a folder."""
    marks = {"ldm_patched": "reforge", "backend": "forge", "installer.py": "sdnext"}
    return next((name for mark, name in marks.items() if Path(folder, mark).exists()), "a1111")


HAS_RESTORERS = bool(WEBUI_DIR) and kind(WEBUI_DIR) != "sdnext"


class Server:
    """The host with a folder of its own for models, extensions and results, and a copy of this extension.

    Args:
        folder: empty; the host's ``--data-dir``.
        portrait: what txt2img and img2img paint, see ``portrait/``.
        flags: for the host's command line.
        network: with random weights of the least Stable Diffusion that the host samples with.
    """

    def __init__(self, folder: Path, portrait: Path, *flags: str, network: bool = False) -> None:
        self.folder, self.kind = folder, kind(WEBUI_DIR)
        self.extension = folder / "extensions" / "gpen-nodes"
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            self.extension.mkdir(parents=True, exist_ok=True)
            copy(ROOT / part, self.extension / part)
        shutil.copytree(HERE / "portrait", folder / "extensions" / "portrait")
        settings = {"outdir_samples": str(folder / "outputs"), "postprocessing_enable_in_main_ui": ["GPEN"]}
        settings["show_progress_type"] = "Approx cheap"  # reForge downloads a network for the default
        (folder / "config.json").write_text(json.dumps(settings))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        more = os.environ.get("WEBUI_ARGS", "").split()
        # Forge serves its own scripts only from its folder for data, unless told to.
        others = [*FLAGS.split(), *CPU.split(), "--gradio-allowed-path", WEBUI_DIR]
        own = SDNEXT.split() if self.kind == "sdnext" else others
        self.command = [sys.executable, "launch.py", *own, *more, *flags]
        self.command += ["--data-dir", str(folder), "--port", str(self.port)]
        known = {"GPEN_TEST_PORTRAIT": str(portrait), "IGNORE_CMD_ARGS_ERRORS": "1", "PYTHONUNBUFFERED": "1"}
        self.environment = {**os.environ, **known, "COMMANDLINE_ARGS": ""}
        if network and self.kind != "sdnext":  # which takes whole pipelines alone
            self._add_network()
        self.start()

    def start(self) -> None:
        """Again, after ``close``."""
        self.log = open(self.folder / "log.txt", "w")  # noqa: SIM115  # closed with the server
        self.process = subprocess.Popen(
            self.command, cwd=WEBUI_DIR, env=self.environment, stdout=self.log, stderr=subprocess.STDOUT
        )
        self.wait()
        self.greeting = self.said()

    def _add_network(self) -> None:
        target = self.folder / "models" / "Stable-diffusion"
        target.mkdir(parents=True)
        script = "tiny_diffusion.py" if self.kind == "a1111" else "small_diffusion.py"
        command = [sys.executable, str(HERE / script), str(target / "random.safetensors")]
        subprocess.run(command, cwd=WEBUI_DIR, check=True, capture_output=True)

    def wait(self, starts: int = 1) -> None:
        """Until all routes are there; the host answers before, and then describes half of them."""
        for _ in range(1200):
            if self.said().count("Startup time") >= starts:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.5)
        raise RuntimeError(self.said()[-3000:])

    def said(self) -> str:
        """All that the host has written to its console."""
        return (self.folder / "log.txt").read_text()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def call(self, path: str, data: Any = None, account: str = "") -> tuple[int, Any]:
        """GET, or POST of JSON: the status and what comes back."""
        body = None if data is None else json.dumps(data).encode()
        headers = {"Content-Type": "application/json"}
        if account:
            headers["Authorization"] = "Basic " + base64.b64encode(account.encode()).decode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or "null")

    def generate(self, path: str = "txt2img", **more: Any) -> tuple[np.ndarray, str]:
        """A picture that the host has made, see ``pixels``, and its infotext."""
        status, reply = self.call(f"/sdapi/v1/{path}", GENERATION | more)
        assert status == 200, reply
        return pixels(decoded(reply["images"][0])), json.loads(reply["info"])["infotexts"][0]

    @contextlib.contextmanager
    def short_of_memory(self, spare: int) -> Iterator[None]:
        """While this lasts, the host gets no more than so many bytes beyond what it has."""
        import resource

        status = Path(f"/proc/{self.process.pid}/status").read_text()
        size = re.search(r"VmSize:\s+(\d+) kB", status)
        assert size, status
        has = int(size[1]) * 1024
        resource.prlimit(self.process.pid, resource.RLIMIT_AS, (has + spare, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.prlimit(
                self.process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )


def pixels(image: Image.Image) -> np.ndarray:
    """RGB [H, W, 3], of a type that holds differences."""
    return np.asarray(image.convert("RGB")).astype(int)


def encoded(image: Image.Image, form: str = "PNG") -> str:
    """A picture as the API takes it."""
    stream = io.BytesIO()
    image.save(stream, form)
    return base64.b64encode(stream.getvalue()).decode()


def decoded(text: str) -> Image.Image:
    """A picture as the API gives it."""
    return Image.open(io.BytesIO(base64.b64decode(text)))
