"""A real ComfyUI on a port of this machine, driven over its HTTP API."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

ROOT = Path(__file__).resolve().parents[2]
COMFYUI_DIR = os.environ.get("COMFYUI_DIR", "")
"""Of a real ComfyUI, or empty."""


class Server:
    """ComfyUI with a folder of its own for models, pictures and packs, in which a link to this pack lies."""

    def __init__(self, comfyui: str, folder: Path) -> None:
        self.folder = folder
        for name in ("custom_nodes", "input", "output", "models/gpen"):
            (folder / name).mkdir(parents=True)
        (folder / "custom_nodes" / "gpen-nodes").symlink_to(ROOT)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # An environment may keep another page than the newest: --front-end-root, for old versions.
        more = os.environ.get("COMFYUI_ARGS", "").split()
        command = [sys.executable, "main.py", "--cpu", "--disable-auto-launch", "--port", str(self.port)]
        command += ["--base-directory", str(folder), "--database-url", "sqlite:///:memory:", *more]
        self.log = open(folder / "log.txt", "w")  # noqa: SIM115  # closed with the server
        self.process = subprocess.Popen(command, cwd=comfyui, stdout=self.log, stderr=subprocess.STDOUT)
        self.descriptions = self._wait()

    def _wait(self) -> dict[str, Any]:
        for _ in range(1200):  # a busy machine takes minutes
            if self.process.poll() is not None:
                break
            try:
                return self.call("/object_info")
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.5)
        raise RuntimeError((self.folder / "log.txt").read_text()[-3000:])

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def call(self, path: str, data: Any = None) -> Any:
        """GET, or POST of JSON; what comes back, errors of the host included."""
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def info(self, node: str) -> dict[str, Any]:
        return self.descriptions[node]

    def put(self, name: str, data: bytes) -> None:
        (self.folder / "input" / name).write_bytes(data)

    def cpu_seconds(self) -> float:
        """How long the host has worked so far, all threads together."""
        import psutil  # pyright: ignore[reportMissingModuleSource]  # ComfyUI needs it itself

        return sum(psutil.Process(self.process.pid).cpu_times()[:2])

    def queue(self, prompt: dict[str, Any]) -> str:
        return self.call("/prompt", {"prompt": prompt})["prompt_id"]

    def history(self, number: str) -> dict[str, Any]:
        while not (entry := self.call(f"/history/{number}")):
            time.sleep(0.05)
        return entry[number]

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """What each output node shows: ``images`` as uint8 arrays, or ``text``."""
        entry = self.history(self.queue(prompt))
        assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]
        shown: dict[str, Any] = {}
        for number, output in entry["outputs"].items():
            shown[number] = {}
            if "text" in output:
                shown[number]["text"] = output["text"][0]
            for image in output.get("images", []):
                if image["filename"].endswith(".mp4"):
                    shown[number]["video"] = self.folder / "output" / image["subfolder"] / image["filename"]
                    continue
                query = urllib.parse.urlencode(image)
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/view?{query}") as answer:
                    frames = ImageSequence.Iterator(Image.open(io.BytesIO(answer.read())))
                    pixels = [np.asarray(frame.convert("RGB")) for frame in frames]
                shown[number].setdefault("images", []).extend(pixels)
        return shown
