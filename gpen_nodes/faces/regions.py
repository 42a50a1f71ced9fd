"""Where eyes and mouth, which people look at first, lie in an aligned face."""

from __future__ import annotations

from .geometry.templates import template_points

__all__ = ["region_windows"]


def region_windows(template: str, size: int) -> list[tuple[int, int, int, int]]:
    """(top, left, height, width) in pixels of left eye, right eye and mouth, in a crop of ``size`` px.

    An eye's window is as wide as 0.9 of the eye distance, the mouth's as 1.2; heights are 0.75 of that.
    """
    left, right, _, *corners = template_points(template, size)
    distance = right[0] - left[0]
    mouth = tuple(sum(axis) / 2 for axis in zip(*corners, strict=True))
    windows = []
    for (x, y), share in ((left, 0.9), (right, 0.9), (mouth, 1.2)):
        width, height = round(share * distance), round(0.75 * share * distance)
        windows.append((round(y - height / 2), round(x - width / 2), height, width))
    return windows
