"""A folder of photos to a folder of aligned faces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import FaceError, ImageError
from ..faces import Face, align_face, detect_faces
from ..images import to_uint8
from ..picture import read_picture

__all__ = ["prepare_faces"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


def prepare_faces(
    photos: str | Path, folder: str | Path, *, size: int, template: str = "gpen", min_face: float = 64
) -> tuple[int, list[str]]:
    """Find and align every face of at least ``min_face`` px, and store them as ``FaceStore`` reads them.

    Args:
        photos: folder, searched with its subfolders in a stable order.
        folder: to write ``faces.npy`` and ``faces.json`` into.
        size: side of the aligned faces in pixels.
        template: see ``align_face``. Beyond a photo's border its last pixels are repeated.

    Returns:
        The number of faces, and a line for each photo that gave none.

    Raises:
        ImageError: the folder holds no photo.
        FaceError: no photo holds a face.
    """
    paths = sorted(p for p in Path(photos).rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise ImageError(f"{photos} holds no photo; looked for {', '.join(SUFFIXES)}.")
    crops, sources, failed = [], [], []
    for path in tqdm(paths, desc="photos", unit="", disable=None):
        try:
            image = read_picture(path).image
        except ImageError as error:
            failed.append(str(error))
            continue
        faces = detect_faces(image, min_face=min_face)
        crops += [_pixels(align_face(image, face, size, template=template)) for face in faces]
        sources += [str(path.relative_to(photos))] * len(faces)
        if not faces:
            failed.append(f"{path}: no face of {min_face:g} px or more.")
    if not crops:
        raise FaceError(f"No face of {min_face:g} px or more in the {len(paths)} photos of {photos}.")
    Path(folder).mkdir(parents=True, exist_ok=True)
    np.save(Path(folder) / "faces.npy", np.stack(crops))
    (Path(folder) / "faces.json").write_text(json.dumps(sources))
    return len(crops), failed


def _pixels(face: Face) -> np.ndarray:
    assert face.crop is not None  # align_face has set it
    return to_uint8(face.crop)
