"""Films with known motion: flicker, PSNR, identity and jitter of the alignment, and what steadiness costs.

Each film is restored frame by frame, as so many photos, and as a film. For identity, MobileFaceNet has to be
at hand (``gpen-nodes models``).

    python benchmarks/video.py --photos DIR --frames 40 --strips OUT
    python benchmarks/video.py --photos DIR --size 1280 720 --face 280 --motions shake --levels strong
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import film_motions
import numpy as np
import torch
from film_motions import LEVELS, MOTIONS, Made, make_film
from report import describe_machine, table, write_json
from torch import Tensor

from gpen_nodes import (
    DetectedFace,
    FilmOptions,
    LocalHost,
    Restorer,
    get_restorer,
    restore_image,
    shipped_model,
)
from gpen_nodes.evaluation.flicker import FilmFigures, alignment_jitter
from gpen_nodes.faces import template_points
from gpen_nodes.faces.geometry.resample import invert
from gpen_nodes.faces.geometry.templates import similarity
from gpen_nodes.faces.identity import find_embedder
from gpen_nodes.films import Frame, Track, follow_faces, restored_frames
from gpen_nodes.image_files import find_image_files, read_image_file
from gpen_nodes.images import to_uint8

COLUMNS = {
    "motion": ("motion", ""),
    "level": ("level", ""),
    "way": ("", ""),
    "flicker": ("flicker", ".2f"),
    "difference": ("of 255", ".2f"),
    "psnr": ("PSNR (dB)", ".2f"),
    "identity": ("identity", ".3f"),
    "jitter": ("jitter (%)", ".2f"),
    "seconds": ("s a frame", ".3f"),
    "work": ("CPU s a frame", ".3f"),
}
RATE = 25


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder, or one photo")
    parser.add_argument("--count", type=int, default=2, help="how many of them")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--motions", nargs="+", default=list(MOTIONS), choices=list(MOTIONS))
    parser.add_argument("--levels", nargs="+", default=list(LEVELS), choices=list(LEVELS))
    parser.add_argument("--size", type=int, nargs=2, default=[640, 480], metavar=("W", "H"))
    parser.add_argument("--face", type=float, default=180, help="pixels of a face's box")
    parser.add_argument("--stability", type=float, nargs="+", default=[FilmOptions().stability])
    parser.add_argument("--weights", help="checkpoint; else the model that ships with the pack")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--strips", type=Path, metavar="DIR", help="write a line of each over time there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    args = parser.parse_args()
    film_motions.SIZE = args.size[1], args.size[0]
    run = _Run(get_restorer(args.weights or shipped_model(), args.dtype, args.device), args)
    photos = [args.photos] if args.photos.is_file() else find_image_files(args.photos)
    photos = photos[:: max(1, len(photos) // args.count)][: args.count]
    rows: list[dict[str, Any]] = []
    for motion in args.motions:
        for level in args.levels:
            found = [run.film(photo, motion, level) for photo in photos]
            for way in found[0]:
                figures = {k: statistics.mean(one[way][k] for one in found) for k in found[0][way]}
                rows.append({"motion": motion, "level": level, "way": way, **figures})
                print(rows[-1], file=sys.stderr, flush=True)
    print(describe_machine("torch", "opencv-python"))
    print(table(rows, COLUMNS))
    write_json(rows, args.json)


class _Run:
    def __init__(self, restorer: Restorer, args: argparse.Namespace) -> None:
        self._restorer, self._args, self._host = restorer, args, LocalHost(args.device)

    def film(self, photo: Path, motion: str, level: str) -> dict[str, dict[str, float]]:
        """Figures by the way of restoring."""
        pixels = to_uint8(read_image_file(photo).image[0])
        made = make_film(pixels, motion, level, self._args.frames, self._args.face)
        frames = [Frame(one[None], k / RATE) for k, one in enumerate(made.frames)]
        true = [_mapped(made.landmarks, matrix) for matrix in made.maps]
        images, landmarks, seconds = self._one_by_one(frames)
        found = {"frame by frame": _figures(made, images, true, landmarks, seconds)}
        strips = {"input": list(made.frames[:, None]), "frame by frame": images}
        started = _clocks()
        tracks = follow_faces(frames, FilmOptions(), self._host)
        following = _clocks() - started
        for stability in self._args.stability:
            options, started = FilmOptions(stability=stability), _clocks()
            images = list(_restored(frames, tracks, self._restorer, options, self._host))
            seconds = (following + _clocks() - started) / len(frames)
            way = f"film, stability {stability:g}"
            found[way] = _figures(made, images, true, _of_longest(tracks, len(frames)), seconds)
            strips[way] = images
        if self._args.strips:
            strips["truth"] = list(made.truth[:, None])
            _write_strips(self._args.strips / f"{photo.stem}_{motion}_{level}.png", strips)
        return found

    def _one_by_one(self, frames: list[Frame]) -> tuple[list[Tensor], list[np.ndarray | None], np.ndarray]:
        started, images, landmarks = _clocks(), [], []
        for frame in frames:
            result = restore_image(frame.image, self._restorer, host=self._host)
            images.append(result.image)
            landmarks.append(np.array(result.faces[0].landmarks) if result.faces else None)
        return images, landmarks, (_clocks() - started) / len(frames)


def _clocks() -> np.ndarray:
    """Seconds by the wall, and of all cores together: the latter hardly mind what else a machine does."""
    return np.array([time.perf_counter(), time.process_time()])


def _restored(
    frames: list[Frame], tracks: list[Track], restorer: Restorer, options: FilmOptions, host: LocalHost
) -> Iterator[Tensor]:
    for frame, image in restored_frames(frames, tracks, restorer, options, host):
        yield frame.image if image is None else image


def _figures(
    made: Made,
    images: list[Tensor],
    true: list[np.ndarray],
    found: list[np.ndarray | None],
    seconds: np.ndarray,
) -> dict[str, float]:
    figures = FilmFigures(find_embedder())
    size = made.frames.shape[1], made.frames.shape[2]
    for image, truth, points in zip(images, made.truth, true, strict=True):
        face = DetectedFace((0, 0, 1, 1), tuple(map(tuple, points.tolist())), 1.0, 0, size)
        figures.add(image, truth[None], [(0, face)])
    one = figures.figures()
    jitter = alignment_jitter(
        [None if points is None else _aligned(points) for points in found], [_aligned(p) for p in true]
    )
    return {
        "flicker": one.flicker,
        "difference": 255 * one.difference,
        "psnr": one.psnr,
        "identity": one.identity,
        "jitter": 100 * jitter,
        "seconds": float(seconds[0]),
        "work": float(seconds[1]),
    }


def _aligned(landmarks: np.ndarray) -> np.ndarray:
    """Where the template's points lie in the frame: what the alignment makes of landmarks."""
    template = template_points("gpen", 256)
    matrix = invert(similarity(tuple(map(tuple, landmarks.tolist())), template)).numpy()
    return np.array(template) @ matrix[:, :2].T + matrix[:, 2]


def _mapped(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.perspectiveTransform(points[None].astype(np.float64), matrix)[0]


def _of_longest(tracks: list[Track], count: int) -> list[np.ndarray | None]:
    track = max(tracks, key=len)
    there = range(track.first, track.first + len(track))
    return [np.array(track.face(k).landmarks) if k in there else None for k in range(count)]


def _write_strips(path: Path, films: dict[str, list[Tensor]]) -> None:
    """The middle line of each film, one frame below the other, eight pixels each."""
    lines = [torch.cat([image[:, image.shape[1] // 2] for image in film]) for film in films.values()]
    strips = [np.repeat(to_uint8(one), 8, axis=0) for one in lines]
    white = np.full((4, *strips[0].shape[1:]), 255, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate([part for one in strips for part in (one, white)])[..., ::-1])


if __name__ == "__main__":
    main()
