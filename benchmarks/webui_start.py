"""What this extension adds to the start of a real Stable Diffusion WebUI, by the host's own clock.

Run with the Python of the host, on its CPU; it needs no checkpoint. The first start, which compiles, does not
count.

    WEBUI_DIR=../stable-diffusion-webui ../stable-diffusion-webui/venv/bin/python benchmarks/webui_start.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.hosts.webui.server import WEBUI_DIR, Server

SCRIPT = "gpen.py"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5, help="starts")
    args = parser.parse_args()
    if not WEBUI_DIR:
        sys.exit("WEBUI_DIR names no WebUI.")
    with tempfile.TemporaryDirectory() as folder:
        rows = _starts(Path(folder), args.runs)
    print(f"milliseconds, median of {args.runs} starts")
    for name in rows[0]:
        print(f"{name:44}{1000 * statistics.median(row[name] for row in rows):8.1f}")


def _starts(folder: Path, runs: int) -> list[dict[str, float]]:
    """What the host took for our script in each start, and in all, in seconds."""
    picture = folder / "portrait.png"
    Image.new("RGB", (64, 64)).save(picture)
    server, rows = Server(folder, picture), []
    for _ in range(runs):
        server.close()
        server.start()
        _, told = server.call("/internal/profile-startup")
        ours = {name: took for name, took in told["records"].items() if name.endswith(f"/{SCRIPT}")}
        rows.append(ours | {"the whole start": told["total"]})
    server.close()
    return rows


if __name__ == "__main__":
    main()
