"""Faces: found, cut out upright, and pasted back."""

from .align import TEMPLATES, align_face, template_points
from .detect import DETECTORS, ORDERS, detect_faces
from .face import Face
from .paste import paste_back

__all__ = [
    "DETECTORS",
    "ORDERS",
    "TEMPLATES",
    "Face",
    "align_face",
    "detect_faces",
    "paste_back",
    "template_points",
]
