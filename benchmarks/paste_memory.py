"""Memory that aligning and pasting the largest face of a photo takes, beside the photo itself.

It is the peak of the resident set, less what was resident before and less the copy of the image that comes
back. A face that is smaller than its crop takes more than its region. pipeline.py runs this with allocators
that keep nothing back; by itself:

    MALLOC_MMAP_THRESHOLD_=131072 NUMPY_MADVISE_HUGEPAGE=0 python benchmarks/paste_memory.py --width 7680
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from measure import peak_rss_mb, reset_peak_rss, resident_mb
from pipeline import enlarged, read_photo
from torch import Tensor

import gpen_nodes
from gpen_nodes import AlignedFace


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--photo", metavar="FILE", help="else scikit-image's astronaut, six times")
    parser.add_argument("--width", type=int, default=7680, help="to which it is enlarged")
    parser.add_argument("--size", type=int, default=256, help="side of the crop")
    args = parser.parse_args()
    picture = enlarged(read_photo(args.photo), args.width)
    face = max(gpen_nodes.detect_faces(picture), key=lambda face: face.size)

    def there_and_back() -> None:
        gpen_nodes.paste_back(picture, [gpen_nodes.align_face(picture, face, args.size)])

    there_and_back()  # loads code
    taken = _peak_mb(there_and_back) - picture.numel() * picture.element_size() / 1e6
    region = _region_mb(picture, gpen_nodes.align_face(picture, face, args.size))
    print(json.dumps({"region_mb": region, "memory_mb": taken, "regions": taken / region}))


def _region_mb(picture: Tensor, face: AlignedFace) -> float:
    """MB of the rectangle in the image that a face's crop covers."""
    size = face.crop_size
    crop_corners = np.array([[0, size, 0, size], [0, 0, size, size]]) - 0.5
    corners = np.linalg.solve(face.matrix[:, :2].numpy(), crop_corners - face.matrix[:, 2:].numpy())
    sides = [np.ptp(np.clip(c, 0, side)) for c, side in zip(corners, picture.shape[2:0:-1], strict=True)]
    return float(sides[0] * sides[1]) * picture.shape[3] * picture.element_size() / 1e6


def _peak_mb(action: Callable[[], Any]) -> float:
    """MB by which the resident set grows at its peak; Linux alone counts them."""
    gc.collect()
    before = resident_mb()
    reset_peak_rss()
    action()
    return peak_rss_mb() - before


if __name__ == "__main__":
    main()
