"""Mutated image files, for as long as asked: each is read and written back, or refused in one sentence.

    python tests/fuzz_image_files.py --seconds 600 --seed 0

What ends in any other way is kept, under its seed and number, and can be tried alone: ``--replay FILE``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import resource
import struct
import sys
import tempfile
import time
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from gpen_nodes import ImageError, write_image_file
from gpen_nodes.image_files import READABLE_SUFFIXES, decode_image_file

MAX_SECONDS, MAX_GROWTH = 5, 2**20  # kB of memory
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
TARGETS = (".png", ".jpg", ".webp", ".tif", ".bmp")


def make_seeds() -> dict[str, bytes]:
    """One or more files of each format, small and with all sorts of metadata."""
    y, x = np.mgrid[0:24, 0:32]
    pixels = np.stack([8 * x, 10 * y, 255 - 4 * (x + y)], -1).astype(np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x010E], exif[0x0112], exif[0x8769] = "a face", 6, {0x9003: "1999:12:31 23:59:59"}
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a face", zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x tiff:Orientation='6'/>", zip=True)
    told = {"exif": exif.tobytes(), "dpi": (72, 72)}
    seeds: dict[str, bytes] = {}

    def add(name: str, made: Image.Image, kind: str, **options: object) -> None:
        stream = io.BytesIO()
        try:
            made.save(stream, kind, **options)
        except (KeyError, OSError, ValueError):  # a format that this Pillow doesn't write
            return
        seeds[name] = stream.getvalue()

    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        made = (
            Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
        )
        add(f"{mode}.png", made, "PNG", pnginfo=text, **told)
        add(f"{mode}.tif", made, "TIFF", compression="tiff_lzw", dpi=(72, 72))
    add("plain.tif", image, "TIFF", **told)
    add("cmyk.tif", image.convert("CMYK"), "TIFF", compression="tiff_deflate")
    for name, options in {"base": {}, "passes": {"progressive": True}}.items():
        add(f"{name}.jpg", image, "JPEG", comment=b"hello", **told, **options)
    add("cmyk.jpg", image.convert("CMYK"), "JPEG")
    add("lossy.webp", image, "WEBP", exif=exif.tobytes())
    add("lossless.webp", image.convert("RGBA"), "WEBP", lossless=True)
    for name, kind in (("x.gif", "GIF"), ("x.bmp", "BMP"), ("x.ppm", "PPM"), ("x.jp2", "JPEG2000")):
        add(name, image, kind)
    with contextlib.suppress(ImportError):
        import pillow_jxl  # noqa: F401  # pyright: ignore[reportMissingImports]  # an extra; known to Pillow by this
    for name, kind in (("x.tga", "TGA"), ("x.avif", "AVIF"), ("x.jxl", "JXL")):
        add(name, image, kind)
    with contextlib.suppress(ImportError):
        import pillow_heif  # pyright: ignore[reportMissingImports]  # an extra

        stream = io.BytesIO()
        pillow_heif.from_pillow(image).save(stream)
        seeds["x.heic"] = stream.getvalue()
    deep = np.repeat(np.repeat(pixels.astype(np.uint16) * 257, 2, 0), 2, 1)
    for suffix in (".png", ".tif"):
        seeds[f"deep{suffix}"] = cv2.imencode(suffix, deep)[1].tobytes()
    seeds["deep.pgm"] = b"P5\n#\n48 32\n4095\n" + deep[:32, :48, 0].astype(">u2").tobytes()
    return seeds


def mutate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """One to six changes, of the kinds that break readers."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(max(len(changed), 1))
        kind = rng.randrange(6)
        if kind == 0:
            changed[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 1:  # a length, a size or an offset
            pattern = rng.choice(("<I", ">I", "<H", ">H"))
            number = rng.choice(NUMBERS) & (0xFFFFFFFF if pattern[1] == "I" else 0xFFFF)
            changed[place : place + struct.calcsize(pattern)] = struct.pack(pattern, number)
        elif kind == 2 and rng.random() < 0.3:
            del changed[place:]
        elif kind == 3:
            del changed[place : place + rng.randint(1, 40)]
        elif kind == 4:
            start = rng.randrange(max(len(other), 1))
            changed[place:place] = other[start : start + rng.randint(1, 200)]
        elif kind == 5:
            changed[place:place] = changed[place : place + rng.randint(1, 60)] * rng.randint(1, 50)
    return with_checksums(bytes(changed)) if rng.random() < 0.7 else bytes(changed)


def with_checksums(data: bytes) -> bytes:
    """A PNG whose checksums are right again, or readers would look no further."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    mended, place = bytearray(data), 8
    while place + 12 <= len(mended):
        end = place + 8 + int.from_bytes(mended[place : place + 4], "big")
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(mended[place + 4 : end]))
        place = end + 4
    return bytes(mended)


def problem_of(data: bytes, name: str, folder: Path) -> str | None:
    """What is wrong with how this file is dealt with; None if nothing."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        image_file = decode_image_file(io.BytesIO(data), name)
        for sentence in image_file.damage:
            if not sentence.isprintable():
                return f"tells of damage in what is not printable: {sentence!r}"
        for suffix in TARGETS:
            write_image_file(folder / f"x{suffix}", image_file.image, image_file, overwrite=True)
    except ImageError as error:
        if not str(error).isprintable() or len(str(error)) > 1000:
            return f"is refused in what is no sentence: {error!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    taken, grown = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if taken > MAX_SECONDS:
        return f"takes {taken:.1f} s"
    return f"takes {grown >> 10} MB" if grown > MAX_GROWTH else None


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), metavar="DIR", help="where findings go")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try this one alone")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        if args.replay:
            problem = problem_of(args.replay.read_bytes(), args.replay.name, Path(folder))
            print(f"{args.replay}: {problem or 'sound'}")
            return problem is not None
        return fuzz(args.seconds, args.seed, args.keep, Path(folder))


def fuzz(seconds: float, seed: int, keep: Path, folder: Path) -> int:
    seeds = make_seeds()
    names, end, number, found = sorted(seeds), time.monotonic() + seconds, 0, 0
    keep.mkdir(parents=True, exist_ok=True)
    while time.monotonic() < end:
        rng = random.Random(f"{seed} {number}")
        name = rng.choice(names)
        data = mutate(seeds[name], seeds[rng.choice(names)], rng)
        current = keep / f"{seed}-{number}-{name}"
        current.write_bytes(data)  # so that it is there, too, if the process dies of it
        problem = problem_of(data, name, folder)
        if problem is None:
            current.unlink()
        else:
            found += 1
            print(f"{current}: {problem}", flush=True)
        number += 1
    print(f"{number} files of {len(names)} seeds, seed {seed}: {found} dealt with badly.")
    return int(found > 0)


assert set(TARGETS) <= set(READABLE_SUFFIXES)

if __name__ == "__main__":
    sys.exit(main())
