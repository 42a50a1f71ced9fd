"""Memory that *Restore Faces* takes of a film in a real ComfyUI, beside the frames that come in.

It is the peak of the host's resident set while the node runs, less what was resident with the frames in the
host's cache; the frames that come out count in it. Linux only. Run it with the Python that runs ComfyUI:

    COMFYUI_DIR=../ComfyUI python benchmarks/comfyui_film.py
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.hosts.server import COMFYUI_DIR, Server

FRAME = 1280, 720


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=128)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(COMFYUI_DIR, Path(folder))
        try:
            print(f"{args.frames} frames of {FRAME[0]}x{FRAME[1]}: {added_mb(server, args.frames):+.0f} MB")
        finally:
            server.close()


def added_mb(server: Server, frames: int) -> float:
    server.put("frame.png", frame())
    server.run(prompt(server, 2, restore=True))  # what loads once
    server.run(prompt(server, frames, restore=False))
    process = Path(f"/proc/{server.process.pid}")
    before = kilobytes(process, "VmRSS")
    (process / "clear_refs").write_text("5")  # the peak counts from here
    server.run(prompt(server, frames, restore=True))
    return (kilobytes(process, "VmHWM") - before) * 1024 / 1e6


def kilobytes(process: Path, field: str) -> int:
    (value,) = re.findall(rf"{field}:\s+(\d+) kB", (process / "status").read_text())
    return int(value)


def frame() -> bytes:
    """A frame with one face of 280 px."""
    import skimage.data

    picture = Image.new("RGB", FRAME, "gray")
    picture.paste(Image.fromarray(skimage.data.astronaut()).resize((720, 720)), (280, 0))
    picture.save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def prompt(server: Server, frames: int, restore: bool) -> dict[str, Any]:
    """Frames of which one is shown."""
    inputs = server.info("GPEN_RestoreFaces")["input"]["required"]
    defaults = {name: spec[1]["default"] for name, spec in inputs.items() if "default" in spec[1]}
    nodes = {
        "1": ("LoadImage", {"image": "frame.png"}),
        "2": ("RepeatImageBatch", {"image": ["1", 0], "amount": frames}),
        "3": ("GPEN_RestoreFaces", defaults | {"image": ["2", 0]}),
        "4": ("ImageFromBatch", {"image": ["3" if restore else "2", 0], "batch_index": 0, "length": 1}),
        "5": ("PreviewImage", {"images": ["4", 0]}),
    }
    if not restore:
        del nodes["3"]
    return {number: {"class_type": kind, "inputs": inputs} for number, (kind, inputs) in nodes.items()}


if __name__ == "__main__":
    main()
