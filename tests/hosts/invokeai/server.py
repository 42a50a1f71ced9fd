"""A real InvokeAI on a port of this machine, driven over its HTTP API."""

from __future__ import annotations

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
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = """schema_version: 4.0.2
use_memory_db: true
device: cpu
"""
Edge = tuple[str, str, str, str]
"""From which node's output to which node's input."""


def clone(target: Path) -> Path:
    """The repository as a clone has it, as a repository of its own."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "build", "demo", "dist", "fuzz", "runs", "shared")
    shutil.copytree(ROOT, target, ignore=left_out)
    git = ["git", "-C", str(target), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for step in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *step], check=True)
    return target


class Server:
    """The host with a root of its own, and a clone of this pack among its nodes.

    Args:
        folder: empty; the host's root.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.items = folder, 0
        self.pack = clone(folder / "nodes" / "gpen-nodes")
        (folder / "invokeai.yaml").write_text(SETTINGS)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        start = (
            "import sys; sys.argv[0] = 'invokeai-web'; from invokeai.app.run_app import run_app; run_app()"
        )
        environment = {**os.environ, "INVOKEAI_PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        self.log = open(folder / "log.txt", "w")  # noqa: SIM115  # closed with the server
        self.process = subprocess.Popen(
            [sys.executable, "-c", start, "--root", str(folder)],
            cwd=folder,
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.wait()

    def wait(self) -> None:
        for _ in range(600):
            if "running on http" in self.said():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.5)
        raise RuntimeError(self.said()[-3000:])

    def said(self) -> str:
        """All that the host has written to its console, without colours."""
        return re.sub(r"\x1b\[[\d;]*m", "", (self.folder / "log.txt").read_text())

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def call(self, path: str, data: Any = None, method: str | None = None) -> Any:
        """GET, or POST of JSON; what comes back."""
        kind, body = "application/json", None if data is None else json.dumps(data).encode()
        return json.loads(self._fetch(path, body, kind, method) or b"null")

    def _fetch(
        self, path: str, body: bytes | None = None, kind: str = "application/json", method: str | None = None
    ) -> bytes:
        address, headers = f"http://127.0.0.1:{self.port}{path}", {"Content-Type": kind}
        request = urllib.request.Request(address, body, headers, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.code} {error.read().decode()}") from error

    def put(self, picture: Image.Image) -> dict[str, str]:
        """A picture in the gallery, as an input takes it."""
        stream, edge = io.BytesIO(), uuid.uuid4().hex
        picture.save(stream, "PNG")
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        body = (
            f"{head}Content-Type: image/png\r\n\r\n".encode()
            + stream.getvalue()
            + f"\r\n--{edge}--\r\n".encode()
        )
        path = "/api/v1/images/upload?image_category=user&is_intermediate=false"
        reply = json.loads(self._fetch(path, body, f"multipart/form-data; boundary={edge}"))
        return {"image_name": reply["image_name"]}

    def get(self, field: dict[str, str]) -> np.ndarray:
        """The pixels of a picture of the gallery."""
        data = self._fetch(f"/api/v1/images/i/{field['image_name']}/full")
        return np.asarray(Image.open(io.BytesIO(data)))

    def start(self, nodes: dict[str, dict[str, Any]], edges: Iterable[Edge] = ()) -> int:
        """Queue a graph; the number of its item in the queue, which nobody else fills."""
        graph: dict[str, Any] = {
            "id": "graph",
            "nodes": {id: {"id": id, **node} for id, node in nodes.items()},
        }
        graph["edges"] = [
            {"source": {"node_id": a, "field": b}, "destination": {"node_id": c, "field": d}}
            for a, b, c, d in edges
        ]
        batch = {"prepend": False, "batch": {"graph": graph, "runs": 1}}
        self.call("/api/v1/queue/default/enqueue_batch", batch)
        self.items += 1
        return self.items

    def finish(self, item: int) -> dict[str, Any]:
        """Wait for an item of the queue: all that the host says of it."""
        while (found := self.call(f"/api/v1/queue/default/i/{item}"))["status"] in ("pending", "in_progress"):
            time.sleep(0.1)
        return found

    def run(self, nodes: dict[str, dict[str, Any]], edges: Iterable[Edge] = ()) -> dict[str, Any]:
        """Run a graph: the outputs by the nodes' ids."""
        item = self.finish(self.start(nodes, edges))
        assert item["status"] == "completed", item["error_message"]
        session = item["session"]
        return {session["prepared_source_mapping"][id]: out for id, out in session["results"].items()}
