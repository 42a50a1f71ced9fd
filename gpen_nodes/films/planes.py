"""Between the planes of a decoded frame and RGB, with the frame's own matrix, range and depth.

A change is added to the planes as they were decoded: what no change reaches keeps every bit.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError

__all__ = ["add_change", "as_planar", "check_frame", "to_rgb"]

# Kr and Kb by the number of the matrix in ITU-T H.273, table 4.
_MATRICES = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
}
_RGB, _UNKNOWN, _FULL = 0, 2, 2
_PQ = 16  # the transfer of HDR10 and Dolby Vision, in table 3
# What swscale takes apart without loss: several values in one plane, or 16 bits that hold fewer.
_PLANAR = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "p010le": "yuv420p10le",
    "p210le": "yuv422p10le",
    "y210le": "yuv422p10le",
    "rgb48le": "gbrp16le",
    "rgba64le": "gbrap16le",
}


def check_frame(frame: Any, name: str) -> None:
    """Make sure that a frame is a picture such as the network knows.

    Raises:
        ImageError: HDR by PQ, whose values are no shares of brightness, an uncommon matrix, or interlaced.
    """
    if frame.interlaced_frame:
        raise ImageError(
            f"{name} is interlaced: each frame holds half of two pictures. Make it progressive first, such "
            "as with ffmpeg -vf bwdif."
        )
    if frame.color_trc == _PQ:
        raise ImageError(
            f"{name} is HDR with the transfer PQ (HDR10, Dolby Vision), which faces are not restored in: its "
            "colours would come out wrong. Make an SDR or HLG copy first, such as with ffmpeg's zscale and "
            "tonemap."
        )
    if frame.colorspace not in (*_MATRICES, _RGB, _UNKNOWN):
        raise ImageError(
            f"{name} has the colour matrix {frame.colorspace} of H.273, which is not read here. Convert it "
            "to BT.709 first, such as with ffmpeg -vf colorspace=bt709."
        )


def as_planar(frame: Any, name: str) -> Any:
    """A frame with a plane for each component, from 8 to 16 bits: the same one, where it is so.

    Raises:
        ImageError: a layout that cannot become one without loss.
    """
    layout = frame.format
    planes = [one.plane for one in layout.components]
    depths = {one.bits for one in layout.components}
    if planes == list(range(len(planes))) and not layout.is_big_endian and depths <= {*range(8, 17)}:
        return frame
    wanted = _PLANAR.get(layout.name)
    if wanted is None and layout.is_rgb and max(depths) <= 8:
        wanted = "gbrap" if any(one.is_alpha for one in layout.components) else "gbrp"
    if wanted is None:
        raise ImageError(f"{name} holds pixels as {layout.name}, which is not read here. Convert it first.")
    return frame.reformat(format=wanted)


def to_rgb(frame: Any) -> Tensor:
    """A planar frame as [1, H, W, 3] RGB in [0, 1], by ITU-T H.273."""
    planes = [_plane(frame, index) for index in range(min(3, len(frame.format.components)))]
    if frame.format.is_rgb:
        green, blue, red = (plane.astype(np.float32) / _top(frame) for plane in planes)
        return torch.from_numpy(np.stack([red, green, blue], -1))[None]
    (low, span), kr, kb = _range(frame), *_coefficients(frame)
    luma = (planes[0].astype(np.float32) - low) / span
    rgb = np.empty((*luma.shape, 3), np.float32)
    if len(planes) < 3:
        rgb[:] = luma[..., None]
        return torch.from_numpy(rgb)[None].clamp_(0, 1)
    middle, unit, sides = 2 ** (_bits(frame) - 1), _chroma_span(frame), luma.shape[::-1]
    blue, red = (
        cv2.resize((plane.astype(np.float32) - middle) / unit, sides, interpolation=cv2.INTER_LINEAR)
        for plane in planes[1:]
    )
    np.add(luma, 2 * (1 - kr) * red, out=rgb[..., 0])
    np.add(luma, 2 * (1 - kb) * blue, out=rgb[..., 2])
    # What is left of luma once red and blue have their shares.
    green = kr * (1 - kr) * red
    green += kb * (1 - kb) * blue
    np.subtract(luma, green * (2 / (1 - kr - kb)), out=rgb[..., 1])
    return torch.from_numpy(rgb)[None].clamp_(0, 1)


def add_change(frame: Any, change: Tensor, left: int, top: int) -> None:
    """Add to a part of a planar frame, in place.

    Args:
        change: [h, w, 3] RGB, in shares of white.
        left, top: of the part, in pixels; multiples of 4, so that chroma begins with it.
    """
    frame.make_writable()
    red, green, blue = change.double().cpu().unbind(-1)
    if frame.format.is_rgb:
        for index, colour in enumerate((green, blue, red)):
            _add(frame, index, colour * _top(frame), left, top)
        return
    kr, kb = _coefficients(frame)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    _add(frame, 0, luma * _range(frame)[1], left, top)
    if len(frame.format.components) >= 3:
        for index, colour, share in ((1, blue, kb), (2, red, kr)):
            _add(frame, index, (colour - luma) / (2 * (1 - share)) * _chroma_span(frame), left, top)


def _add(frame: Any, index: int, change: Tensor, left: int, top: int) -> None:
    """Add to a plane, in its own units; where it is coarser, the mean of the pixels that it covers."""
    plane = _plane(frame, index)
    across = math.ceil(math.log2(frame.width / plane.shape[1]) - 0.5)
    down = math.ceil(math.log2(frame.height / plane.shape[0]) - 0.5)
    if across or down:
        cell = 2**down, 2**across
        change = F.avg_pool2d(change[None, None], cell, ceil_mode=True)[0, 0]
    x, y = left >> across, top >> down
    part = plane[y : y + change.shape[0], x : x + change.shape[1]]
    change = change[: part.shape[0], : part.shape[1]]
    values = np.rint(part + change.numpy())
    part[...] = values.clip(0, 2 ** _bits(frame) - 1).astype(part.dtype)


def _plane(frame: Any, index: int) -> np.ndarray:
    """A plane's values [h, w], in the frame's memory."""
    plane = frame.planes[index]
    dtype = np.dtype(np.uint8 if _bits(frame) == 8 else np.uint16)
    rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size]
    rows = rows.reshape(plane.height, plane.line_size)[:, : plane.width * dtype.itemsize]
    return rows.view(dtype)


def _bits(frame: Any) -> int:
    return frame.format.components[0].bits


def _top(frame: Any) -> int:
    return 2 ** _bits(frame) - 1


def _is_full(frame: Any) -> bool:
    return frame.color_range == _FULL or frame.format.name.startswith("yuvj")


def _range(frame: Any) -> tuple[int, int]:
    """Luma's black, and white above it."""
    if _is_full(frame):
        return 0, _top(frame)
    unit = 2 ** (_bits(frame) - 8)
    return 16 * unit, 219 * unit


def _chroma_span(frame: Any) -> int:
    return _top(frame) if _is_full(frame) else 224 * 2 ** (_bits(frame) - 8)


def _coefficients(frame: Any) -> tuple[float, float]:
    """Kr and Kb; where nobody says, what players take: BT.709 from 720 lines on."""
    unknown = 1 if frame.height >= 720 else 6
    return _MATRICES[frame.colorspace if frame.colorspace in _MATRICES else unknown]
