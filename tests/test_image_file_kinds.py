"""Kinds of image files that readers often get wrong: values are those that were put in by other means."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from gpen_nodes import ImageError, ImageFile, read_image_file, write_image_file
from gpen_nodes.image_files import READABLE_SUFFIXES, describe_left_out, find_image_files, formats
from gpen_nodes.image_files.jxl import _size_header

HEIGHT, WIDTH = 21, 35
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def deep(channels: int, largest: int = 65535) -> np.ndarray:
    rng = np.random.default_rng(channels)
    return rng.integers(0, largest + 1, (HEIGHT, WIDTH, channels), dtype=np.uint16)


def photo() -> np.ndarray:
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([2 * x + 60, 3 * y + 40, 200 - x - y], -1).astype(np.uint8)


def values(image_file: ImageFile) -> np.ndarray:
    return image_file.image[0].mul(65535).round().numpy()


# --- TIFF, laid out by hand ---


def tiff(
    parts: list[bytes],
    bits: int,
    samples: int,
    *,
    order: str = "<",
    extra: tuple[int, ...] = (),
    planar: bool = False,
    tile: int = 0,
    big: bool = False,
    **tags: int,
) -> bytes:
    """A TIFF of strips or tiles: ``parts`` as they stand in the file."""
    number, size = ("Q", 8) if big else ("I", 4)
    offset = 16 if big else 8
    offsets = [offset + sum(map(len, parts[:k])) for k in range(len(parts))]
    entries: dict[int, tuple[int, ...]] = {
        256: (WIDTH,),
        257: (HEIGHT,),
        258: (bits,) * samples,
        259: (tags.get("packing", 1),),
        262: (tags.get("meaning", 2 if samples >= 3 else 1),),
        277: (samples,),
        284: (2 if planar else 1,),
        317: (tags.get("predictor", 1),),
    }
    if extra:
        entries[338] = extra
    if tile:
        entries |= {322: (tile,), 323: (tile,), 324: (*offsets,), 325: (*map(len, parts),)}
    else:
        entries |= {273: (*offsets,), 278: (HEIGHT,), 279: (*map(len, parts),)}
    if "orientation" in tags:
        entries[274] = (tags["orientation"],)
    start = offset + sum(map(len, parts))
    after = start + (8 if big else 2) + len(entries) * (20 if big else 12) + size
    body, long_values = struct.pack(order + ("Q" if big else "H"), len(entries)), b""
    for tag, numbers in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}{number}", *numbers)
        if len(packed) > size:
            place, long_values = struct.pack(order + number, after + len(long_values)), long_values + packed
        else:
            place = packed
        kind = 16 if big else 4
        body += struct.pack(order + "HH" + number, tag, kind, len(numbers)) + place
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(order + "HHHQ", 43, 8, 0, start) if big else struct.pack(order + "HI", 42, start)
    return mark + head + b"".join(parts) + body + bytes(size) + long_values


def packed(pixels: np.ndarray, order: str, predictor: int = 1, packing: int = 1) -> bytes:
    if predictor == 2:
        pixels = np.diff(pixels, axis=1, prepend=np.zeros_like(pixels[:, :1]))
    data = pixels.astype(order + "u2").tobytes()
    return zlib.compress(data) if packing == 8 else data


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(
    ("order", "packing", "predictor", "big"),
    [("<", 1, 1, False), (">", 1, 1, False), ("<", 8, 2, False), (">", 8, 2, False), ("<", 8, 1, True)],
)
def test_all_layouts_of_16_bits_are_read_alike(
    tmp_path: Path, samples: int, planar: bool, order: str, packing: int, predictor: int, big: bool
) -> None:
    pixels = deep(samples)
    groups = [pixels[..., k : k + 1] for k in range(samples)] if planar else [pixels]
    parts = [packed(group, order, predictor, packing) for group in groups]
    colours = 1 if samples < 3 else 3
    extra = (0,) * (samples - colours)
    data = tiff(
        parts,
        16,
        samples,
        order=order,
        extra=extra,
        planar=planar,
        big=big,
        packing=packing,
        predictor=predictor,
    )
    (tmp_path / "x.tif").write_bytes(data)
    image_file = read_image_file(tmp_path / "x.tif")
    assert (image_file.bits, image_file.gray, image_file.alpha, image_file.damage) == (
        16,
        colours == 1,
        None,
        (),
    )
    np.testing.assert_array_equal(
        values(image_file), np.broadcast_to(pixels[..., :colours], (HEIGHT, WIDTH, 3))
    )


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("predictor", [1, 2])
def test_tiles_of_16_bits(tmp_path: Path, planar: bool, predictor: int) -> None:
    pixels = deep(3)
    padded = np.pad(pixels, ((0, 32 - HEIGHT), (0, 48 - WIDTH), (0, 0)))
    groups = [padded[..., k : k + 1] for k in range(3)] if planar else [padded]
    parts = [
        packed(group[top : top + 16, left : left + 16], "<", predictor, 8)
        for group in groups
        for top in (0, 16)
        for left in (0, 16, 32)
    ]
    data = tiff(parts, 16, 3, planar=planar, tile=16, packing=8, predictor=predictor)
    (tmp_path / "x.tif").write_bytes(data)
    np.testing.assert_array_equal(values(read_image_file(tmp_path / "x.tif")), pixels)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_extra_channels_are_what_the_file_says(tmp_path: Path, kind: int) -> None:
    pixels = deep(4)
    pixels[..., 3] = np.maximum(pixels[..., 3], 2000)
    stored = pixels.copy()
    if kind == 1:
        stored[..., :3] = np.rint(pixels[..., :3] * (pixels[..., 3:] / 65535))
    (tmp_path / "x.tif").write_bytes(tiff([packed(stored, "<")], 16, 4, extra=(kind,)))
    image_file = read_image_file(tmp_path / "x.tif")
    np.testing.assert_allclose(values(image_file), pixels[..., :3], atol=20)
    assert (image_file.alpha is not None) == (kind != 0)
    if image_file.alpha is not None:
        np.testing.assert_array_equal(image_file.alpha[0].mul(65535).round().numpy(), pixels[..., 3:])


def test_what_is_transparent_has_any_colour(tmp_path: Path) -> None:
    stored = np.zeros((HEIGHT, WIDTH, 4), np.uint16)
    (tmp_path / "x.tif").write_bytes(tiff([packed(stored, "<")], 16, 4, extra=(1,)))
    assert torch.isfinite(read_image_file(tmp_path / "x.tif").image).all()


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("samples", [1, 3])
def test_bits_between_8_and_16_have_their_own_white(tmp_path: Path, bits: int, samples: int) -> None:
    pixels = deep(samples, 2**bits - 1)
    pixels[0, 0] = 2**bits - 1
    each = (pixels.reshape(HEIGHT, -1, 1) >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(each.reshape(HEIGHT, -1).astype(np.uint8), axis=1)
    (tmp_path / "x.tif").write_bytes(tiff([rows.tobytes()], bits, samples))
    image_file = read_image_file(tmp_path / "x.tif")
    assert image_file.image[0, 0, 0].tolist() == [1, 1, 1]
    expected = np.broadcast_to(pixels / (2**bits - 1), (HEIGHT, WIDTH, 3))
    np.testing.assert_allclose(image_file.image[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_planar_tiffs_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    pixels = deep(3)
    parts = [packed(pixels[..., k : k + 1], "<") for k in range(3)]
    (tmp_path / "x.tif").write_bytes(tiff(parts, 16, 3, planar=True, orientation=orientation))
    method = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(
        orientation
    )  # Pillow's transposes, by EXIF's number
    planes = [Image.fromarray(pixels[..., k].astype(np.int32)) for k in range(3)]
    turned = planes if method is None else [plane.transpose(Image.Transpose(method)) for plane in planes]
    expected = np.stack([np.asarray(plane) for plane in turned], -1)
    np.testing.assert_array_equal(values(read_image_file(tmp_path / "x.tif")), expected)


@pytest.mark.parametrize("kind", ["str", "short"])
def test_a_profile_of_a_wrong_type_is_left_out(tmp_path: Path, kind: str) -> None:
    data = bytearray(tiff([bytes(HEIGHT * WIDTH)], 8, 1))
    place = data.index(struct.pack("<HHI", 317, 4, 1))  # the predictor's entry becomes the profile's
    entry = (
        struct.pack("<HHI4s", 34675, 2, 4, b"abc\0")
        if kind == "str"
        else struct.pack("<HHII", 34675, 3, 1, 5)
    )
    data[place : place + 12] = entry
    (tmp_path / "x.tif").write_bytes(data)
    image_file = read_image_file(tmp_path / "x.tif")
    assert image_file.metadata.icc_profile is None
    for suffix in (".tif", ".png", ".jpg"):
        write_image_file(tmp_path / f"y{suffix}", image_file.image, image_file)


# --- PNG and PNM ---


def png_chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(pixels: np.ndarray, *chunks: bytes, colour_type: int, depth: int = 8) -> bytes:
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2" if depth == 16 else ">u1").reshape(height, -1).view(np.uint8)
    packed_rows = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
        + b"".join(chunks)
        + png_chunk(b"IDAT", packed_rows)
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("channels", "colour_type"), [(1, 0), (3, 2)])
def test_a_16_bit_value_may_stand_for_transparency(tmp_path: Path, channels: int, colour_type: int) -> None:
    pixels = deep(channels)
    pixels[3:6, 4:9] = 255
    key = png_chunk(b"tRNS", struct.pack(">H", 255) * channels)
    (tmp_path / "x.png").write_bytes(png(pixels, key, colour_type=colour_type, depth=16))
    image_file = read_image_file(tmp_path / "x.png")
    assert image_file.alpha is not None
    np.testing.assert_array_equal(image_file.alpha[0, ..., 0].numpy(), ~(pixels == 255).all(-1))
    write_image_file(tmp_path / "y.png", image_file.image, image_file)
    again = cv2.imread(str(tmp_path / "y.png"), cv2.IMREAD_UNCHANGED)
    assert again is not None
    np.testing.assert_array_equal(again[..., 3] == 0, (pixels == 255).all(-1))


@pytest.mark.parametrize(("largest", "magic"), [(65535, "P5"), (4095, "P5"), (1023, "P6"), (65535, "P6")])
def test_pnm_of_16_bits(tmp_path: Path, largest: int, magic: str) -> None:
    pixels = deep(3 if magic == "P6" else 1, largest)
    head = f"{magic}\n# made by hand\n{WIDTH} {HEIGHT}\n{largest}\n".encode()
    (tmp_path / "x.pgm").write_bytes(head + pixels.astype(">u2").tobytes())
    image_file = read_image_file(tmp_path / "x.pgm")
    assert (image_file.bits, image_file.gray) == (16, magic == "P5")
    expected = np.broadcast_to(pixels / largest, (HEIGHT, WIDTH, 3))
    np.testing.assert_allclose(image_file.image[0].numpy(), expected, atol=1e-5)


def kept_chunks(data: bytes) -> dict[bytes, bytes]:
    found, position = {}, 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        found[kind] = data[position + 8 : position + 8 + length]
        position += length + 12
    return found


@pytest.mark.parametrize("depth", [8, 16])
def test_what_a_png_tells_of_its_colours_is_kept_as_it_is(tmp_path: Path, depth: int) -> None:
    told = {
        b"cICP": bytes([9, 16, 0, 1]),
        b"gAMA": struct.pack(">I", 45455),
        b"cHRM": struct.pack(">8I", *range(1, 9)),
        b"zTXt": b"workflow\0\0" + zlib.compress(b"x" * 3_000_000),  # more than Pillow unpacks
        b"tEXt": b"Raw profile type iptc\0\niptc\n 4\n1c02",
    }
    passing = {b"bKGD": bytes(6), b"sBIT": b"\5\6\5", b"acTL": struct.pack(">II", 1, 0)}
    chunks = [png_chunk(kind, data) for kind, data in (told | passing).items()]
    (tmp_path / "x.png").write_bytes(png(deep(3, 255), *chunks, colour_type=2, depth=depth))
    image_file = read_image_file(tmp_path / "x.png")
    write_image_file(tmp_path / "y.png", image_file.image, image_file)
    data = (tmp_path / "y.png").read_bytes()
    found = kept_chunks(data)
    assert {kind: found.get(kind) for kind in told} == told
    assert not found.keys() & passing.keys()
    assert data.index(b"cICP") < data.index(b"IDAT")
    Image.open(io.BytesIO(png(deep(3, 255), colour_type=2))).load()


@pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".webp"])
def test_xmp_iptc_and_comments_are_kept(tmp_path: Path, target: str) -> None:
    xmp = b"<x:xmpmeta><a tiff:Orientation='8'/><xmp:Thumbnails>old</xmp:Thumbnails></x:xmpmeta>"
    iptc = b"\x1c\x02\x78\0\5a man"
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + bytes(len(iptc) % 2)
    segments = (
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp),
        (0xED, b"Photoshop 3.0\0" + resource),
    )
    extra = b"".join(struct.pack(">BBH", 255, marker, len(body) + 2) + body for marker, body in segments)
    Image.fromarray(photo()).save(tmp_path / "x.jpg", extra=extra, comment=b"hello")
    image_file = read_image_file(tmp_path / "x.jpg")
    write_image_file(tmp_path / f"y{target}", image_file.image, image_file)
    data = (tmp_path / f"y{target}").read_bytes()
    assert b"<x:xmpmeta><a tiff:Orientation='1'/></x:xmpmeta>" in data
    if target in (".jpg", ".tif"):
        assert iptc in data
        assert read_image_file(tmp_path / f"y{target}").metadata.iptc == iptc
    if target in (".jpg", ".png"):
        assert b"hello" in data
    assert read_image_file(tmp_path / f"y{target}").metadata.xmp == image_file.metadata.xmp


# --- JPEG, WebP and others ---


def cmyk_profile() -> bytes | None:
    """A profile of print, as systems with colour management have them."""
    for path in sorted(Path("/usr/share/color/icc").rglob("*.ic[cm]")):
        data = path.read_bytes()
        if data[16:20] == b"CMYK":
            return data
    return None


def test_print_colours_become_rgb_by_their_profile(tmp_path: Path) -> None:
    profile = cmyk_profile()
    if profile is None:
        pytest.skip("needs a CMYK profile, such as Ghostscript brings")
    own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    cmyk = ImageCms.profileToProfile(Image.fromarray(photo()), srgb, own, outputMode="CMYK")
    assert cmyk is not None
    cases: dict[str, dict[str, Any]] = {"x.jpg": {"quality": 98}, "x.tif": {}}
    for name, options in cases.items():
        cmyk.save(tmp_path / name, icc_profile=profile, **options)
        image_file = read_image_file(tmp_path / name)
        difference = np.abs(image_file.image[0].numpy() * 255 - photo().astype(float))
        assert difference.mean() < 6  # what is out of print's gamut; 40 without the profile
        assert image_file.metadata.icc_profile is None
        assert image_file.damage == ()


@pytest.mark.parametrize(("lossless", "source"), [(True, ".webp"), (True, ".png"), (False, ".webp")])
def test_what_was_without_loss_stays_so(tmp_path: Path, lossless: bool, source: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 4), dtype=np.uint8)
    noise[:10, :10, 3] = 0
    options: dict[str, Any] = {"lossless": lossless, "exact": True} if source == ".webp" else {}
    Image.fromarray(noise).save(tmp_path / f"x{source}", **options)
    image_file = read_image_file(tmp_path / f"x{source}")
    assert image_file.lossless == lossless
    write_image_file(tmp_path / "y.webp", image_file.image, image_file)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "y.webp")), noise) == lossless


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".tga", ".jp2"])
def test_further_names_are_found_and_read(tmp_path: Path, suffix: str) -> None:
    kind = {".tga": "TGA", ".jp2": "JPEG2000"}.get(suffix, "JPEG")
    Image.fromarray(photo()).save(tmp_path / f"x{suffix}", kind)
    assert find_image_files(tmp_path) == [tmp_path / f"x{suffix}"]
    read = read_image_file(tmp_path / f"x{suffix}").image[0].numpy() * 255
    assert np.abs(read - photo()).mean() < 4


@pytest.mark.skipif("AVIF" not in formats._PILLOWS, reason="this Pillow reads no AVIF")
def test_avif_is_read(tmp_path: Path) -> None:
    Image.fromarray(photo()).save(tmp_path / "x.avif", icc_profile=SRGB)
    image_file = read_image_file(tmp_path / "x.avif")
    assert np.abs(image_file.image[0].numpy() * 255 - photo()).mean() < 4
    assert image_file.metadata.icc_profile == SRGB


def test_avif_is_read_by_the_plugin_of_an_older_pillow(tmp_path: Path, monkeypatch: Any) -> None:
    """Pillow's own class stands for that of pillow-avif-plugin, which A1111 has beside Pillow 9.5."""
    own = pytest.importorskip("PIL.AvifImagePlugin")
    Image.fromarray(photo()).save(tmp_path / "x.avif")
    monkeypatch.setattr(formats, "_PILLOWS", [name for name in formats._PILLOWS if name != "AVIF"])
    for name in ("pillow_avif", "pillow_avif.AvifImagePlugin"):
        monkeypatch.setitem(sys.modules, name, own)
    assert np.abs(read_image_file(tmp_path / "x.avif").image[0].numpy() * 255 - photo()).mean() < 4


def test_heic_is_read_without_telling_pillow(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    known = set(Image.OPEN)
    exif = Image.Exif()
    exif[0x0112] = 6
    heif.from_pillow(Image.fromarray(photo())).save(tmp_path / "x.heic", quality=95, exif=exif.tobytes())
    image_file = read_image_file(tmp_path / "x.heic")
    assert image_file.image.shape[1:3] in ((48, 64), (64, 48))
    assert set(Image.OPEN) == known


def test_jpeg_xl_is_read(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    Image.fromarray(photo()).save(tmp_path / "x.jxl", lossless=True)
    read = read_image_file(tmp_path / "x.jxl").image[0].numpy() * 255
    np.testing.assert_allclose(read, photo(), atol=0.5)


@pytest.mark.parametrize(
    ("head", "size"),
    [
        # Written out by the standard's table: in eights 1, height 8 (0), as wide as high.
        (0b001_00000_1, (8, 8)),
        # Not in eights; selector 0, 9 bits: 199; ratio 0; selector 1, 13 bits: 4999.
        (0 | 0 << 1 | 199 << 3 | 0 << 12 | 1 << 15 | 4999 << 17, (5000, 200)),
        # Selector 3, 30 bits, and a ratio of 2 to 1.
        (3 << 1 | (2**20 - 1) << 3 | 7 << 33, (2**21, 2**20)),
    ],
)
def test_the_size_of_a_jpeg_xl_is_known_before_it_is_decoded(head: int, size: tuple[int, int]) -> None:
    assert _size_header(head) == size


@given(st.binary(max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_header_of_a_jpeg_xl_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    path = tmp_path_factory.mktemp("jxl") / "x.jxl"
    path.write_bytes(b"\xff\x0a" + tail)
    with pytest.raises(ImageError):
        read_image_file(path)


def test_what_a_folder_leaves_out_is_named_and_counted(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    Image.fromarray(photo()).save(tmp_path / "x.png")
    assert describe_left_out(tmp_path) is None
    for name in ("notes.txt", "sub/film.mov", ".hidden", "._x.png"):
        (tmp_path / name).write_bytes(b"?")
    assert describe_left_out(
        tmp_path
    ) == "2 files are left out, as no image that is read here: notes.txt, " + (f"{Path('sub', 'film.mov')}.")
    for number in range(20):
        (tmp_path / f"{number}\x1b[31m.txt").write_bytes(b"?")
    said = describe_left_out(tmp_path)
    assert said is not None
    assert said.startswith("22 files are left out")
    assert "12 more" in said
    assert "\x1b" not in said


def test_names_that_libraries_here_do_not_read_say_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(formats._INSTALLED, ".heic", False)
    monkeypatch.setattr("gpen_nodes.image_files.find.READABLE_SUFFIXES", (".png",))
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(12))
    assert "x.heic (needs pillow-heif)" in (describe_left_out(tmp_path) or "")
    with pytest.raises(ImageError, match="needs pillow-heif"):
        read_image_file(tmp_path / "x.heic")
    assert ".png" in READABLE_SUFFIXES
