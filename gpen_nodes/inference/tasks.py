"""What the tasks of checkpoints ask for around the network: ranges, gray pictures, kept luma.

The only place in inference that knows [-1, 1].
"""

from __future__ import annotations

from torch import Tensor

from ..images import from_network, gray_rgb, resize, to_network, with_luma

__all__ = ["face_of", "picture_for"]


def picture_for(task: str, faces: Tensor) -> Tensor:
    """What the network sees of faces.

    Args:
        task: one of ``TASKS``.
        faces: [N, S, S, 3] in [0, 1].

    Returns:
        [N, 3, S, S] in [-1, 1]; a map of a face's parts stays in [0, 1], as its network was trained.
    """
    if task == "seg2face":
        return faces.permute(0, 3, 1, 2)
    return to_network(gray_rgb(faces) if task == "colorize" else faces)


def face_of(task: str, output: Tensor, faces: Tensor) -> Tensor:
    """Faces of what the network gave.

    Args:
        output: [N, 3, size, size], not clamped.
        faces: [N, S, S, 3] in [0, 1], what it was made from: a coloured face keeps their luma.

    Returns:
        [N, size, size, 3] float32 in [0, 1].
    """
    if task == "seg2face":
        return output.float().permute(0, 2, 3, 1).clamp(0, 1).contiguous()
    face = from_network(output)
    return with_luma(face, resize(faces, *face.shape[1:3])) if task == "colorize" else face
