"""Every step for a photo with many faces: detect, align, restore, paste; at its own size and enlarged.

Aligning and pasting are also done as facexlib does them, by its FaceRestoreHelper's own methods with the same
landmarks, template and restored faces. The helper is made without its networks, which it would download, so
its masks are the square ones and it parses no face. It pastes with warps, masks and sums over the whole frame
for each face. Restoring doesn't depend on the image's size and is timed once a size.

    python benchmarks/pipeline.py --photo group.jpg --width 1500 7680
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from report import write_json
from torch import Tensor

import gpen_nodes
from gpen_nodes import AlignedFace, DetectedFace, LocalHost, Restorer
from gpen_nodes.faces import template_points

# Large blocks come from the system and go back when freed; no pages of 2 MB where one of 4 KB does.
FRUGAL = {"MALLOC_MMAP_THRESHOLD_": str(2**17), "NUMPY_MADVISE_HUGEPAGE": "0"}
STEPS = ("detect", "restore", "align_paste", "whole_frame", "memory")
SHOWN = {
    "detect_s": "s",
    "align_s": "s",
    "restore_s": "s",
    "paste_s": "s",
    "total_s": "s",
    "copy_s": "s, of paste: the copy of the picture",
    "whole_frame_align_s": "s",
    "whole_frame_paste_s": "s",
    "faster": "times: align + paste beside the whole frame's",
    "memory_mb": "MB to align and paste the largest face",
    "regions": "times its region",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--photo", metavar="FILE", help="else scikit-image's astronaut, six times")
    parser.add_argument("--width", type=int, nargs="*", default=[7680], help="also enlarged to these widths")
    parser.add_argument("--weights", help="checkpoint; else the model that ships with the pack")
    parser.add_argument("--runs", type=int, default=3, help="medians are of so many")
    parser.add_argument("--threads", type=int, help="of torch and OpenCV; else as they are")
    parser.add_argument("--steps", nargs="*", default=list(STEPS), choices=STEPS, help="what to time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    photo = read_photo(args.photo)
    restorer = gpen_nodes.get_restorer(args.weights or gpen_nodes.shipped_model())
    rows: list[dict[str, Any]] = []
    first: list[np.ndarray] = []
    for width in [photo.shape[2], *args.width]:
        picture = enlarged(photo, width)
        found = gpen_nodes.detect_faces(picture)
        first = first or _centres(found, picture)
        row = {"width": width, "height": picture.shape[1], "faces": len(found)}
        row["found_again"] = _found_again(first, _centres(found, picture))
        row |= _times(picture, found, restorer, args.runs, args.steps)
        if "memory" in args.steps and found:
            row |= _memory(args.photo, width, restorer.input_size)
        rows.append(row)
        _print(row)
    write_json(rows, args.json)


def _centres(faces: Sequence[DetectedFace], picture: Tensor) -> list[np.ndarray]:
    """Middles of the landmarks and mean eye distances (x, y, distance) as shares of the image's width."""
    points = [np.array(face.landmarks) / picture.shape[2] for face in faces]
    return [np.append(p.mean(0), np.linalg.norm(p[1] - p[0])) for p in points]


def _found_again(wanted: list[np.ndarray], found: list[np.ndarray]) -> int:
    """How many of the faces have one found within half an eye distance."""
    return sum(any(np.linalg.norm(f[:2] - w[:2]) < w[2] / 2 for f in found) for w in wanted)


def read_photo(path: str | None) -> Tensor:
    """[1, H, W, 3] in [0, 1]."""
    if path:
        return gpen_nodes.read_image_file(path).image
    from skimage import data

    return gpen_nodes.from_uint8(np.tile(data.astronaut(), (2, 3, 1)))[None]


def enlarged(photo: Tensor, width: int) -> Tensor:
    if photo.shape[2] == width:
        return photo
    height = round(photo.shape[1] * width / photo.shape[2])
    pixels = cv2.resize(gpen_nodes.to_uint8(photo[0]), (width, height), interpolation=cv2.INTER_CUBIC)
    return gpen_nodes.from_uint8(pixels)[None]


def _times(
    picture: Tensor, found: Sequence[DetectedFace], restorer: Restorer, runs: int, steps: Sequence[str]
) -> dict[str, float]:
    """Seconds of each step for one image [1, H, W, 3], and what follows from them."""
    seconds: dict[str, list[float]] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = step()
        seconds.setdefault(name, []).append(time.perf_counter() - start)
        return result

    restored: Sequence[AlignedFace] = _aligned(picture, found, restorer.input_size)
    if "restore" in steps:
        restored = timed("restore_s", lambda: gpen_nodes.restore_faces(restorer, restored, LocalHost("cpu")))
    whole_frame = _WholeFrame(picture, restored) if "whole_frame" in steps and restored else None
    for _ in range(runs):
        if "detect" in steps:
            timed("detect_s", lambda: gpen_nodes.detect_faces(picture))
        if "align_paste" in steps:
            timed("align_s", lambda: _aligned(picture, found, restorer.input_size))
            timed("paste_s", lambda: gpen_nodes.paste_back(picture, restored))
            timed("copy_s", picture.clone)
        if whole_frame is not None:
            timed("whole_frame_align_s", whole_frame.align)
            timed("whole_frame_paste_s", whole_frame.paste)
    row = {name: statistics.median(values) for name, values in seconds.items()}
    if {"align_s", "whole_frame_align_s"} <= row.keys():
        row["faster"] = (row["whole_frame_align_s"] + row["whole_frame_paste_s"]) / (
            row["align_s"] + row["paste_s"]
        )
    if {"detect_s", "align_s", "restore_s"} <= row.keys():
        row["total_s"] = sum(row[f"{step}_s"] for step in ("detect", "align", "restore", "paste"))
    return row


def _aligned(picture: Tensor, faces: Sequence[DetectedFace], size: int) -> list[AlignedFace]:
    return [gpen_nodes.align_face(picture, face, size) for face in faces]


class _WholeFrame:
    """facexlib's way to align and to paste, on 8-bit pixels as it wants them."""

    def __init__(self, picture: Tensor, restored: Sequence[AlignedFace]) -> None:
        from facexlib.utils.face_restoration_helper import FaceRestoreHelper

        self._crops = [gpen_nodes.to_uint8(f.crop)[..., ::-1].copy() for f in restored]
        self._landmarks = [np.array(face.landmarks) for face in restored]
        size = len(self._crops[0])
        self._helper: Any = FaceRestoreHelper.__new__(FaceRestoreHelper)
        self._helper.__dict__ |= {
            "upscale_factor": 1,
            "face_size": (size, size),
            "face_template": np.array(template_points("gpen", size)),
            "template_3points": False,
            "pad_blur": False,
            "use_parse": False,
        }
        self._helper.read_image(gpen_nodes.to_uint8(picture[0])[..., ::-1].copy())

    def align(self) -> None:
        self._helper.clean_all()
        self._helper.all_landmarks_5 = self._landmarks
        self._helper.align_warp_face()

    def paste(self) -> np.ndarray:
        self._helper.get_inverse_affine()
        self._helper.restored_faces = self._crops
        return self._helper.paste_faces_to_input_image()


def _memory(photo: str | None, width: int, size: int) -> dict[str, float]:
    """What paste_memory.py finds, in a process whose allocators keep nothing back."""
    command = [sys.executable, str(Path(__file__).with_name("paste_memory.py"))]
    command += ["--width", str(width), "--size", str(size), *(["--photo", photo] if photo else [])]
    run = subprocess.run(command, env=os.environ | FRUGAL, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout)


def _print(row: dict[str, Any]) -> None:
    print(
        f"{row['width']}×{row['height']}, {row['faces']} faces, {row['found_again']} of the first picture's, "
        f"{torch.get_num_threads()} threads"
    )
    for name, unit in SHOWN.items():
        if name in row:
            print(f"    {name:20}{row[name]:10.3f} {unit}")


if __name__ == "__main__":
    main()
