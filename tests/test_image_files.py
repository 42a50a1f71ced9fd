"""Every mode, depth and orientation that an image file may have, and files that are none."""

from __future__ import annotations

import errno
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from gpen_nodes.errors import ImageError
from gpen_nodes.image_files import (
    WRITABLE_SUFFIXES,
    ImageFile,
    decode_image_file,
    encode_image_file,
    read_image_file,
    write_image_file,
)

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION = 0x0112


def sample_pixels(height: int = 24, width: int = 36, channels: int = 3) -> np.ndarray:
    """Smooth, coloured, different in each corner, uint8."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [255 * x / width, 255 * y / height, 255 - 127 * (x + y) / (height + width), 100 + 2 * x]
    return np.stack(planes[:channels], -1).astype(np.uint8)


def pixels_of(image_file: ImageFile) -> np.ndarray:
    return image_file.image[0].mul(255).round().to(torch.uint8).numpy()


def deep_pixels(channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, (20, 31, channels), dtype=np.uint16)


def write_deep(path: Path, pixels: np.ndarray) -> None:
    """16 bits per channel through OpenCV, RGB or RGBA or gray."""
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[2]]
    assert cv2.imwrite(str(path), pixels[..., order])


# --- reading ---


@pytest.mark.parametrize(
    ("mode", "suffix", "gray", "alpha"),
    [
        ("1", ".png", True, False),
        ("L", ".png", True, False),
        ("LA", ".png", True, True),
        ("P", ".png", False, False),
        ("P", ".gif", False, False),
        ("RGB", ".bmp", False, False),
        ("RGB", ".webp", False, False),
        ("RGB", ".ppm", False, False),
        ("RGBA", ".png", False, True),
        ("RGBA", ".tif", False, True),
        ("CMYK", ".tif", False, False),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, suffix: str, gray: bool, alpha: bool) -> None:
    path = tmp_path / f"image{suffix}"
    original = Image.fromarray(sample_pixels()).convert(mode)
    if mode in ("LA", "RGBA"):
        original.putalpha(Image.fromarray(sample_pixels()[..., 1]))
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    original.save(path, **options)
    image_file = read_image_file(path)
    assert image_file.image.shape == (1, 24, 36, 3)
    assert image_file.image.dtype == torch.float32
    assert (image_file.gray, image_file.alpha is not None, image_file.bits, image_file.frames) == (
        gray,
        alpha,
        8,
        1,
    )
    np.testing.assert_allclose(pixels_of(image_file), np.asarray(original.convert("RGB")), atol=2)
    if image_file.alpha is not None:
        expected = sample_pixels()[..., 1] / np.float32(255)
        np.testing.assert_allclose(image_file.alpha[0, ..., 0].numpy(), expected, atol=1e-6)


def test_lab_becomes_rgb(tmp_path: Path) -> None:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    rgb = Image.fromarray(sample_pixels() // 2 + 64)  # inside the gamut
    transform = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    converted = ImageCms.applyTransform(rgb, transform)
    assert converted is not None
    converted.save(tmp_path / "lab.tif")
    assert np.abs(pixels_of(read_image_file(tmp_path / "lab.tif")) - np.asarray(rgb, np.float32)).mean() < 3


def test_a_palette_may_have_a_transparent_entry(tmp_path: Path) -> None:
    original = Image.fromarray(sample_pixels()).quantize(16)
    original.save(tmp_path / "p.png", transparency=3)
    image_file = read_image_file(tmp_path / "p.png")
    assert image_file.alpha is not None
    np.testing.assert_array_equal(image_file.alpha[0, ..., 0].numpy(), np.asarray(original) != 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_are_read_in_full(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = deep_pixels(channels)
    path = tmp_path / f"deep{suffix}"
    write_deep(path, pixels)
    image_file = read_image_file(path)
    assert (image_file.bits, image_file.gray) == (16, channels == 1)
    expected = np.broadcast_to(pixels[..., :3], (20, 31, 3))
    np.testing.assert_array_equal(image_file.image[0].mul(65535).round().numpy(), expected)
    assert (image_file.alpha is not None) == (channels == 4)
    if image_file.alpha is not None:
        np.testing.assert_array_equal(image_file.alpha[0].mul(65535).round().numpy(), pixels[..., 3:])


def test_16_bit_gray_with_white_at_zero_is_turned_round(tmp_path: Path) -> None:
    path, gray = tmp_path / "gray.tif", ImageFile(torch.zeros(1, 4, 4, 3), gray=True, bits=16)
    write_image_file(path, torch.full((4, 4, 1), 0.25), like=gray)
    interpretation = struct.pack("<HHI", 262, 3, 1)
    path.write_bytes(path.read_bytes().replace(interpretation + b"\1", interpretation + b"\0"))
    assert read_image_file(path).image.mean().item() == pytest.approx(0.75, abs=1e-4)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, suffix: str, orientation: int, bits: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"turned{suffix}"
    stored = Image.fromarray(sample_pixels())
    if bits == 8:
        stored.save(path, exif=exif.tobytes())
    else:
        like = ImageFile(torch.zeros(1, 1, 1, 3), bits=16)
        object.__setattr__(like.metadata, "exif", exif.tobytes())
        write_image_file(path, torch.from_numpy(sample_pixels() / np.float32(255)), like)
    stored.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(stored), np.float32)
    image_file = read_image_file(path)
    assert image_file.image.shape[1:] == expected.shape
    assert np.abs(pixels_of(image_file) - expected).mean() < 3
    written = tmp_path / f"again{suffix}"
    write_image_file(written, image_file.image, image_file)
    assert Image.open(written).getexif().get(ORIENTATION, 1) == 1
    assert np.abs(pixels_of(read_image_file(written)) - expected).mean() < 4


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "two.gif", save_all=True, append_images=[second])
    image_file = read_image_file(tmp_path / "two.gif")
    assert image_file.frames == 2
    assert image_file.image[0, 0, 0].tolist() == [1, 0, 0]


# --- writing ---


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [*WRITABLE_SUFFIXES, ".PNG"])
def test_every_format_keeps_the_pixels(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = sample_pixels(channels=channels)
    if channels == 4:
        pixels[..., 3] = 255
    path = tmp_path / f"new{suffix}"
    write_image_file(path, torch.from_numpy(pixels / np.float32(255)))
    image_file = read_image_file(path)
    tolerance = {".png": 0, ".PNG": 0, ".tif": 0, ".tiff": 0, ".bmp": 0, ".webp": 20}.get(suffix, 5)
    expected = np.broadcast_to(pixels[..., :3], (24, 36, 3)).astype(np.float32)
    np.testing.assert_allclose(pixels_of(image_file), expected, atol=tolerance)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_the_same_kind_is_written_back(tmp_path: Path, mode: str, suffix: str) -> None:
    original = Image.fromarray(sample_pixels()).convert(mode)
    if mode.endswith("A"):
        original.putalpha(Image.fromarray(sample_pixels()[..., 1]))
    original.save(tmp_path / "in.png")
    image_file = read_image_file(tmp_path / "in.png")
    write_image_file(tmp_path / f"out{suffix}", image_file.image, image_file)
    written = Image.open(tmp_path / f"out{suffix}")
    assert written.mode == mode
    np.testing.assert_allclose(np.asarray(written), np.asarray(original).astype(int), atol=1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_are_written_back(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = deep_pixels(channels)
    write_deep(tmp_path / "in.png", pixels)
    image_file = read_image_file(tmp_path / "in.png")
    write_image_file(tmp_path / f"out{suffix}", image_file.image, image_file)
    written = cv2.imread(str(tmp_path / f"out{suffix}"), cv2.IMREAD_UNCHANGED)
    assert written is not None
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    np.testing.assert_allclose(written.reshape(20, 31, -1), pixels[..., order].astype(float), atol=1)
    write_image_file(tmp_path / "out.jpg", image_file.image, image_file)
    assert read_image_file(tmp_path / "out.jpg").bits == 8


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_gray_with_alpha(tmp_path: Path, suffix: str) -> None:
    like = ImageFile(torch.zeros(1, 5, 7, 3), alpha=torch.rand(1, 5, 7, 1), gray=True, bits=16)
    image = torch.rand(5, 7, 1).expand(5, 7, 3)
    write_image_file(tmp_path / f"la{suffix}", image, like)
    image_file = read_image_file(tmp_path / f"la{suffix}")
    assert image_file.bits == 16
    torch.testing.assert_close(image_file.image[0], image, atol=2e-5, rtol=0)
    torch.testing.assert_close(image_file.alpha, like.alpha, atol=2e-5, rtol=0)


@pytest.mark.parametrize("source", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("bits", [8, 16])
def test_metadata_that_still_holds_is_kept(tmp_path: Path, source: str, target: str, bits: int) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x010F], exif[ORIENTATION] = "a face", "camera", 6
    exif[0x8769] = {0x9003: "1999:12:31 23:59:59", 0xA002: 36, 0x829A: 0.5}
    exif[0x8825] = {1: "N"}
    dpi: dict[str, Any] = {} if source == ".webp" else {"dpi": (300, 300)}
    Image.fromarray(sample_pixels()).save(
        tmp_path / f"in{source}", exif=exif.tobytes(), icc_profile=SRGB, **dpi
    )
    image_file = read_image_file(tmp_path / f"in{source}")
    object.__setattr__(image_file, "bits", bits)
    write_image_file(tmp_path / f"out{target}", image_file.image, image_file)
    with Image.open(tmp_path / f"out{target}") as written:
        assert written.info["icc_profile"] == SRGB
        if source != ".webp" and target != ".webp":
            assert tuple(round(float(value)) for value in written.info["dpi"]) == (300, 300)
        found = written.getexif()
        assert (found[0x010E], found[0x010F]) == ("a face", "camera")
        assert found.get(ORIENTATION, 1) == 1
        details = found.get_ifd(0x8769)
        assert (details[0x9003], float(details[0x829A])) == ("1999:12:31 23:59:59", 0.5)
        assert 0xA002 not in details
        assert found.get_ifd(0x8825)[1] == "N"
        assert np.asarray(written.convert("RGB")).shape == (36, 24, 3)


def test_png_text_and_xmp_are_kept_and_the_latter_turned_upright(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "Ünïted ☃")
    text.add_itxt("XML:com.adobe.xmp", '<a tiff:Orientation="6" dc:title="x"/>')
    for bits in (8, 16):
        Image.fromarray(sample_pixels()).save(tmp_path / "in.png", pnginfo=text)
        image_file = read_image_file(tmp_path / "in.png")
        object.__setattr__(image_file, "bits", bits)
        write_image_file(tmp_path / "out.png", image_file.image, image_file, overwrite=True)
        upright = '<a tiff:Orientation="1" dc:title="x"/>'
        found = Image.open(tmp_path / "out.png").text  # type: ignore[attr-defined]
        assert found == {"Title": "Ünïted ☃", "XML:com.adobe.xmp": upright}


def test_a_thumbnail_is_dropped(tmp_path: Path) -> None:
    thumbnail = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(thumbnail, "JPEG")
    data = thumbnail.getvalue()
    # Little-endian TIFF: one tag (a description) in the first directory, then a directory of the thumbnail.
    first = struct.pack("<HHHI4sI", 1, 0x010E, 2, 4, b"abc\0", 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(data), 0)
    block = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + first + second + data
    Image.new("RGB", (8, 8)).save(tmp_path / "in.jpg", exif=block)
    image_file = read_image_file(tmp_path / "in.jpg")
    assert image_file.metadata.exif is not None
    assert b"abc" in image_file.metadata.exif
    assert data[:20] not in image_file.metadata.exif


def test_broken_exif_is_no_reason_to_refuse(tmp_path: Path) -> None:
    Image.fromarray(sample_pixels()).save(tmp_path / "in.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")
    assert read_image_file(tmp_path / "in.jpg").metadata.exif is None


def test_a_profile_of_cmyk_colours_is_dropped(tmp_path: Path) -> None:
    Image.fromarray(sample_pixels()).convert("CMYK").save(tmp_path / "in.jpg", icc_profile=SRGB)
    assert read_image_file(tmp_path / "in.jpg").metadata.icc_profile is None


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_transparency_becomes_white_where_there_is_none(tmp_path: Path, suffix: str) -> None:
    image = torch.zeros(1, 16, 16, 4)
    image[:, :, 8:, 3] = 1
    write_image_file(tmp_path / f"flat{suffix}", image)
    pixels = pixels_of(read_image_file(tmp_path / f"flat{suffix}"))
    assert pixels[:, :4].min() > 250
    assert pixels[:, 12:].max() < 5


def test_alpha_follows_a_picture_that_grew(tmp_path: Path) -> None:
    alpha = torch.zeros(1, 8, 8, 1)
    alpha[:, :, 4:] = 1
    write_image_file(
        tmp_path / "big.png", torch.rand(1, 32, 32, 3), ImageFile(torch.zeros(1, 8, 8, 3), alpha)
    )
    image_file = read_image_file(tmp_path / "big.png")
    assert image_file.alpha is not None
    assert image_file.alpha.shape == (1, 32, 32, 1)
    assert image_file.alpha[:, :, :12].max() == 0
    assert image_file.alpha[:, :, 20:].min() == 1


@given(st.lists(st.integers(0, 255), min_size=12, max_size=12))
@settings(max_examples=20, deadline=None)
def test_png_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, values: list[int]) -> None:
    path = tmp_path_factory.mktemp("png") / "x.png"
    pixels = np.array(values, np.uint8).reshape(2, 2, 3)
    write_image_file(path, torch.from_numpy(pixels / np.float32(255)))
    np.testing.assert_array_equal(pixels_of(read_image_file(path)), pixels)


# --- refusals ---


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no picture"),
        (b"<html>not found</html>", "no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "no picture"),
        (png_of_size(100_000, 100_000), "at most 134,217,728"),
        (png_of_size(13_000, 13_000), "13000×13000"),
        (png_of_size(0, 10), "."),
        (png_of_size(40, 40), "damaged"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_hostile_files_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "hostile.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=says) as raised:
        read_image_file(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("name", ["whole.webp", "whole.tif", "deep.tif"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 65536, (64, 64, 3), dtype=np.uint16)
    if name.startswith("deep"):
        write_deep(path, noise)
    else:
        Image.fromarray((noise >> 8).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=r"damaged|no picture"):
        read_image_file(path)


def test_32_bit_values_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(ImageError, match="32-bit"):
        read_image_file(tmp_path / "f.tif")


def test_no_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="folder"):
        read_image_file(tmp_path)
    with pytest.raises(ImageError, match="does not exist"):
        read_image_file(tmp_path / "nothing.png")


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    image = torch.rand(1, 4, 4, 3)
    with pytest.raises(ImageError, match=r"\.xyz.*\.png"):
        write_image_file(tmp_path / "a.xyz", image)
    with pytest.raises(ImageError, match="2 images"):
        write_image_file(tmp_path / "a.png", torch.rand(2, 4, 4, 3))
    with pytest.raises(ImageError, match="at most 16383"):
        write_image_file(tmp_path / "a.webp", torch.rand(1, 1, 16_400, 3))
    with pytest.raises(ImageError, match="create the folder"):
        write_image_file(tmp_path / "missing" / "a.png", image)
    write_image_file(tmp_path / "a.png", image)
    with pytest.raises(ImageError, match="exists already"):
        write_image_file(tmp_path / "a.png", image)
    write_image_file(tmp_path / "a.png", image, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_file_in_memory_is_the_one_on_disk(tmp_path: Path) -> None:
    image = torch.rand(1, 8, 9, 3)
    write_image_file(tmp_path / "x.png", image)
    data = encode_image_file(image, "x.PNG")
    assert data == (tmp_path / "x.png").read_bytes()
    read = decode_image_file(io.BytesIO(data), "x")
    assert torch.equal(read.image, read_image_file(tmp_path / "x.png").image)
    with pytest.raises(ImageError, match=r"x\.gif ends in '\.gif'"):
        encode_image_file(image, "x.gif")
    with pytest.raises(ImageError, match=r"x\.webp would be 17000×1 px"):
        encode_image_file(torch.rand(1, 17000, 3), "x.webp")


@pytest.mark.parametrize(
    ("failure", "raised", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ImageError, "Free some space"),
        (PermissionError(errno.EACCES, "Permission denied"), ImageError, "may write to"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    raised: type[BaseException],
    says: str | None,
) -> None:
    path = tmp_path / "old.png"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(raised, match=says):
        write_image_file(path, torch.rand(1, 4, 4, 3), overwrite=True)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.png"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    write_image_file(tmp_path / "link.png", torch.rand(1, 4, 4, 3), overwrite=True)
    assert (tmp_path / "link.png").is_symlink()
    assert read_image_file(tmp_path / "real.png").image.shape == (1, 4, 4, 3)
