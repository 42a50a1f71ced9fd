"""A folder of photos to a folder of aligned faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import FaceError, ImageError
from ..faces import align_face, detect_faces
from ..facesets import FaceStore
from ..image_files import find_image_files, read_image_file
from ..images import to_uint8

__all__ = ["prepare_faces"]


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
    paths = find_image_files(photos)
    crops, sources, failed = [], [], []
    for path in tqdm(paths, desc="photos", unit="", disable=None):
        try:
            found = _aligned_faces(path, size, template, min_face)
        except ImageError as error:
            failed.append(str(error))
            continue
        crops += found
        sources += [str(path.relative_to(photos))] * len(found)
        if not found:
            failed.append(f"{path}: no face of {min_face:g} px or more.")
    if not crops:
        raise FaceError(f"No face of {min_face:g} px or more in the {len(paths)} photos of {photos}.")
    FaceStore.write(folder, np.stack(crops), sources)
    return len(crops), failed


def _aligned_faces(path: Path, size: int, template: str, min_face: float) -> list[np.ndarray]:
    """Pixels of each face of a photo, uint8 [size, size, 3]."""
    image_file = read_image_file(path)
    if image_file.damage:
        raise ImageError(
            f"{path} is damaged or cannot be read: {'; '.join(image_file.damage)}. Get it again."
        )
    image = image_file.image
    faces = [align_face(image, face, size, template) for face in detect_faces(image, min_face=min_face)]
    return [to_uint8(face.crop) for face in faces if face.crop is not None]
