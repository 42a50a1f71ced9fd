"""A folder of photos to a folder of aligned faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from ..errors import FaceError, ImageError
from ..faces import align_face, detect_faces
from ..faces.identity import FaceEmbedder
from ..facesets import FaceStore
from ..facesets.quality import blur_of, near_duplicates, thumbprint
from ..image_files import find_image_files, read_image_file
from ..images import from_uint8, to_uint8

__all__ = ["LEFT_OUT", "MAX_BLUR", "SAME_PERSON", "SAME_PICTURE", "prepare_faces"]

# Of about 110 portraits none is above 0.62; blurred by σ 2 none is below 0.81.
MAX_BLUR = 0.7
# One image at a third of its size, as JPEG and 3 px of 512 off its place has 0.97 to 0.994; two photos of
# one sitting mostly 0.98, one in ten 0.991 and more; of 62,500 pairs of different people none reaches 0.81.
SAME_PICTURE = 0.99
# Cosine: of 152 pairs of portraits of one person, years apart, 151 have 0.5 or more; of 7,000 of two, none.
SAME_PERSON = 0.5

LEFT_OUT = "Left out: "
"""How a line begins that tells of a face, and not of a photo without faces."""


@dataclass(frozen=True)
class _Found:
    """Pixels, uint8 [size, size, 3], the photo, and how many of the photo's pixels a side covers."""

    pixels: np.ndarray
    source: str
    true_size: float


def prepare_faces(
    photos: str | Path,
    folder: str | Path,
    *,
    size: int,
    template: str = "gpen",
    min_face: float = 64,
    min_true_size: float | None = None,
    max_blur: float = MAX_BLUR,
    same_picture: float = SAME_PICTURE,
    embedder: str | Path | None = None,
) -> tuple[int, list[str]]:
    """Find and align every face that is large and sharp enough, and store them as ``FaceStore`` reads them.

    Args:
        photos: folder, searched with its subfolders in a stable order.
        folder: to write ``faces.npy`` and ``faces.json`` into.
        size: side of the aligned faces in pixels.
        template: see ``align_face``. Beyond a photo's border its last pixels are repeated.
        min_face: smallest face that is looked for, px.
        min_true_size: how many of the photo's pixels the side of an aligned face has to cover. A face with
            fewer would be enlarged and teach no detail. None is ``size``; 0 keeps all.
        max_blur: highest ``blur_of`` a face; 1 keeps all.
        same_picture: two faces whose correlation is at least this count as one image, and the smaller one is
            left out; above 1 keeps all.
        embedder: MobileFaceNet.onnx, to know by likeness which faces show one person.

    Returns:
        The number of faces, and a line for each photo without any and, beginning with ``LEFT_OUT``, for each
        face that was left out.

    Raises:
        ImageError: the folder holds no photo.
        FaceError: no photo holds a face, or none is left.
        CheckpointError: the embedder is missing, damaged or another network.
    """
    network = FaceEmbedder.load(embedder) if embedder else None
    limit = size if min_true_size is None else min_true_size
    paths = find_image_files(photos)
    found, lines = list[_Found](), list[str]()
    for path in tqdm(paths, desc="photos", unit="", disable=None):
        try:
            faces = _aligned_faces(path, str(path.relative_to(photos)), size, template, min_face)
        except ImageError as error:
            lines.append(str(error))
            continue
        if not faces:
            lines.append(f"{path}: no face of {min_face:g} px or more.")
        faults = [_fault(face, limit, max_blur) for face in faces]
        lines += [f"{LEFT_OUT}{path}: {fault}" for fault in faults if fault]
        found += [face for face, fault in zip(faces, faults, strict=True) if not fault]
    found, doubled = _without_duplicates(found, same_picture)
    lines += doubled
    if not found:
        raise FaceError(
            f"No face of {min_face:g} px or more in the {len(paths)} photos of {photos} is left. The first "
            f"reason: {lines[0]} Lower min_face or min_true_size, or raise max_blur."
        )
    _store(found, folder, _persons(found, network, template) if network else [])
    return len(found), lines


def _store(found: list[_Found], folder: str | Path, persons: list[int]) -> None:
    pixels, sizes = np.stack([face.pixels for face in found]), [round(face.true_size, 1) for face in found]
    FaceStore.write(folder, pixels, [face.source for face in found], sizes, persons)


def _aligned_faces(path: Path, source: str, size: int, template: str, min_face: float) -> list[_Found]:
    image_file = read_image_file(path)
    if image_file.damage:
        raise ImageError(
            f"{path} is damaged or cannot be read: {'; '.join(image_file.damage)}. Get it again."
        )
    image = image_file.image
    aligned = [align_face(image, face, size, template) for face in detect_faces(image, min_face=min_face)]
    return [
        _Found(to_uint8(face.crop), source, size / float(torch.linalg.vector_norm(face.matrix[:, 0])))
        for face in aligned
    ]


def _fault(face: _Found, min_true_size: float, max_blur: float) -> str:
    """Why a face is left out; empty where it isn't."""
    if face.true_size < min_true_size:
        return f"a face of {face.true_size:.0f} px, fewer than {min_true_size:g} (min_true_size)."
    side = max(8, min(round(face.true_size), len(face.pixels)))
    blur = blur_of(cv2.resize(face.pixels, (side, side), interpolation=cv2.INTER_AREA))
    return f"a face with blur {blur:.2f}, more than {max_blur:g} (max_blur)." if blur > max_blur else ""


def _without_duplicates(found: list[_Found], likeness: float) -> tuple[list[_Found], list[str]]:
    """The faces without copies: of each image the largest one, and a line for each that is left out."""
    if not found:
        return found, []
    prints = np.stack([thumbprint(face.pixels) for face in found])
    order = np.argsort([-face.true_size for face in found], kind="stable")
    twins = near_duplicates(prints, order, likeness)
    lines = [
        f"{LEFT_OUT}{found[k].source}: the same picture as {found[twins[k]].source}." for k in sorted(twins)
    ]
    return [face for k, face in enumerate(found) if k not in twins], lines


@torch.inference_mode()
def _persons(found: list[_Found], embedder: FaceEmbedder, template: str) -> list[int]:
    """A number for each face. Faces that are alike share one, also if only a third face links them."""
    known = [embedder.embed(from_uint8(f.pixels).permute(2, 0, 1)[None], template)[0] for f in found]
    numbers = list(range(len(found)))
    for k in range(1, len(found)):
        alike = torch.stack(known[:k]) @ known[k] >= SAME_PERSON
        for other in {numbers[j] for j in alike.nonzero().flatten().tolist()}:
            numbers = [numbers[k] if number == other else number for number in numbers]
    return numbers
