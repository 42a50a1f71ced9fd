"""Image files that are damaged, lie, or are none, and places that are no files to write to."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from gpen_nodes import ImageError, read_image_file, write_image_file
from gpen_nodes.atomic import replacing
from gpen_nodes.image_files import decode_image_file


def photo(height: int = 96, width: int = 128) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = 30 * np.sin(x / 5) * np.cos(y / 7)
    return np.clip(np.stack([x + waves, y + 60 + waves, 180 - x / 2 + waves], -1), 0, 255).astype(np.uint8)


def saved(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(photo()).save(stream, kind, **options)
    return stream.getvalue()


def read(data: bytes, **options: int):
    return decode_image_file(io.BytesIO(data), "x", **options)


def pixels_of(data: bytes) -> np.ndarray:
    return read(data).image[0].mul(255).round().numpy()


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


# --- damage that viewers overlook ---


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_jpeg_without_its_end_is_whole(progressive: bool, cut: int) -> None:
    data = saved("JPEG", quality=90, progressive=progressive)
    image_file = read(data[:-cut])
    difference = np.abs(pixels_of(data[:-cut]) - np.asarray(Image.open(io.BytesIO(data))).astype(float))
    assert difference[:-8].max() == 0
    assert len(image_file.damage) == 1
    assert "ends early" in image_file.damage[0]


def test_of_a_jpeg_that_breaks_off_the_missing_rows_are_counted() -> None:
    data = saved("JPEG", quality=90, subsampling=0)
    image_file = read(data[: len(data) * 3 // 4])
    rows = int(image_file.damage[0].split("and ")[1].split(" ")[0])
    expected = np.asarray(Image.open(io.BytesIO(data))).astype(float)
    found = image_file.image[0].mul(255).round().numpy()
    assert 8 <= rows <= 48
    assert (found[-rows:] == 128).all()
    np.testing.assert_array_equal(found[: 96 - rows - 8], expected[: 96 - rows - 8])  # a row of blocks is cut


@pytest.mark.parametrize("bits", [8, 16])
def test_of_a_png_that_breaks_off_the_missing_rows_are_black_and_counted(bits: int) -> None:
    noise = np.random.default_rng(0).integers(0, 2**bits, (64, 64, 3)).astype(f"uint{bits}")
    data = cv2.imencode(".png", noise)[1].tobytes()
    image_file = read(data[: len(data) * 3 // 4])
    rows = int(image_file.damage[-1].split(" ")[0])
    assert 15 <= rows <= 18
    found = image_file.image[0].mul(2**bits - 1).round().numpy()
    np.testing.assert_array_equal(found[: 64 - rows], noise[: 64 - rows, :, ::-1])
    assert found[65 - rows :].max() == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "PPM"])
def test_more_than_half_missing_is_refused(kind: str) -> None:
    data = saved(kind)
    with pytest.raises(ImageError, match=r"x is damaged .*missing"):
        read(data[: len(data) * 2 // 5])


@pytest.mark.parametrize("kind", ["BMP", "PPM"])
def test_plain_pixels_that_break_off_are_filled_up(kind: str) -> None:
    data = saved(kind)
    image_file = read(data[: len(data) * 3 // 4])
    assert "24 of its 96 rows are missing" in image_file.damage[0]
    kept = slice(25, None) if kind == "BMP" else slice(0, 71)  # one row is cut
    np.testing.assert_array_equal(image_file.image[0].mul(255).round().numpy()[kept], photo()[kept])


def test_a_text_with_a_wrong_checksum_is_left_out() -> None:
    data = saved("PNG")
    bad, good = chunk(b"tEXt", b"a\0b", checksum=1), chunk(b"tEXt", b"c\0d")
    image_file = read(data[:33] + bad + good + data[33:])
    assert image_file.damage == ("the checksum of its chunk tEXt is wrong",)
    assert image_file.metadata.chunks == ((b"tEXt", b"c\0d"),)
    np.testing.assert_array_equal(image_file.image[0].mul(255).round().numpy(), photo())


def test_pixels_with_a_wrong_checksum_are_read() -> None:
    data = bytearray(saved("PNG"))
    place = data.index(b"IDAT")
    length = int.from_bytes(data[place - 4 : place], "big")
    data[place + 4 + length] ^= 255
    assert read(bytes(data)).damage == ("the checksum of its chunk IDAT is wrong",)
    np.testing.assert_array_equal(pixels_of(bytes(data)), photo())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_a_sound_file_has_no_damage(kind: str) -> None:
    assert read(saved(kind)).damage == ()


# --- files that lie ---


def jpeg_of_size(width: int, height: int) -> bytes:
    data = bytearray(saved("JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def png_of_size(width: int, height: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels, 9)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_of_size(width: int, height: int, samples: int = 3) -> bytes:
    entries = [(256, width), (257, height), (258, 16), (259, 1), (262, 2), (273, 8), (277, samples)]
    entries += [(278, height), (279, 100)]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + body + bytes(4)


def tiff_of_tiles(side: int) -> bytes:
    """8 × 8 px of gray in one Deflate tile of that side."""
    data = zlib.compress(bytes(2**22), 9)
    entries = [(256, 8), (257, 8), (258, 8), (259, 8), (262, 1), (277, 1)]
    entries += [(322, side), (323, side), (324, 8), (325, len(data))]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    return head + data + struct.pack("<H", len(entries)) + body + bytes(4)


LIES = {
    "tiff, tiles": tiff_of_tiles(30_000),
    "jpeg": jpeg_of_size(11_000, 11_000),
    "jpeg, below the harmless size": jpeg_of_size(4000, 4000),
    "png": png_of_size(11_000, 11_000, bytes(100)),
    "png that really unpacks": png_of_size(2**27, 1, bytes(2**27)),
    "tiff": tiff_of_size(11_000, 11_000),
    "tiff, channels": tiff_of_size(4000, 4000, 60_000),
    "jxl": b"\xff\x0a" + (0 | 3 << 1 | (2**24) << 3 | 1 << 33).to_bytes(8, "little"),
    "jpeg, passes": saved("JPEG").replace(b"\xff\xda", b"\xff\xda" * 200, 1),
    "png, chunks": saved("PNG")[:33] + chunk(b"tEXt", b"a\0b") * 2**18,
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_file_cannot_hold_is_refused_before_memory_is_taken(lie: str, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(LIES[lie])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError) as raised:
        read_image_file(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300 * 1024, f"{grown} kB"


def test_who_asks_for_more_pixels_gets_them_and_for_fewer_not() -> None:
    flat = png_of_size(6000, 3000, bytes(6001 * 3000))
    with pytest.raises(ImageError, match=r"6000×3000 px in .* max_pixels to 18000000"):
        read(flat)
    assert read(flat, max_pixels=18_000_000).image.shape == (1, 3000, 6000, 3)
    with pytest.raises(ImageError, match="at most 100 pixels"):
        read(saved("PNG"), max_pixels=100)


def test_an_empty_photo_is_no_lie() -> None:
    """The emptiest photo that an encoder writes is far from what is refused."""
    stream = io.BytesIO()
    Image.new("RGB", (3000, 3000), "white").save(stream, "JPEG", quality=1, optimize=True, progressive=True)
    assert read(stream.getvalue()).damage == ()


def test_a_file_far_longer_than_its_pixels_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(saved("PNG"))
    os.truncate(path, 2**33)  # sparse: it takes no room
    with pytest.raises(ImageError, match="bytes, far more"):
        read_image_file(path)


# --- what is no file ---


def test_pipes_and_devices_are_no_image_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    for path in (tmp_path / "x.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match="is a pipe, a socket or a device"):
            read_image_file(path)


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    (tmp_path / "null.png").symlink_to("/dev/null")
    write_image_file(tmp_path / "null.png", torch.rand(1, 4, 4, 3), overwrite=True)
    (tmp_path / "full.png").symlink_to("/dev/full")
    with pytest.raises(ImageError, match="No space left"):
        write_image_file(tmp_path / "full.png", torch.rand(1, 4, 4, 3), overwrite=True)
    assert not Path("/dev/null").is_file()
    assert not Path("/dev/full").is_file()
    assert sorted(os.listdir(tmp_path)) == ["full.png", "null.png"]


def test_a_pipe_gets_the_file_if_somebody_reads_it(tmp_path: Path) -> None:
    pipe = tmp_path / "x.png"
    os.mkfifo(pipe)
    with pytest.raises(ImageError, match="pipe that no program reads"):
        write_image_file(pipe, torch.rand(1, 4, 4, 3), overwrite=True)
    reading, got = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), []
    os.set_blocking(reading, True)

    def take() -> None:
        with open(reading, "rb") as file:
            got.append(file.read())

    with replacing(pipe) as path:
        thread = threading.Thread(target=take)
        thread.start()
        path.write_bytes(b"content")
    thread.join(10)
    assert got == [b"content"]
    assert pipe.is_fifo()


def test_a_folder_in_the_way_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    with pytest.raises(ImageError, match="not a folder"):
        write_image_file(tmp_path / "x.png", torch.rand(1, 4, 4, 3), overwrite=True)
    assert os.listdir(tmp_path) == ["x.png"]


def test_standard_output_gets_the_file_even_where_it_is_one(tmp_path: Path) -> None:
    script = (
        "from gpen_nodes.atomic import replacing\n"
        "with replacing('/dev/stdout') as path: path.write_text('report')\n"
        "import os; os.write(1, b'')"
    )
    with (tmp_path / "out").open("wb") as out:
        inode = os.fstat(out.fileno()).st_ino
        subprocess.run([sys.executable, "-c", script], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "report"
    assert (tmp_path / "out").stat().st_ino == inode


def test_what_a_file_is_called_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31mred\r.png"
    path.write_bytes(b"no image")
    with pytest.raises(ImageError) as raised:
        read_image_file(path)
    assert str(raised.value).isprintable()
    assert r"\x1b[31mred\r.png" in str(raised.value)
