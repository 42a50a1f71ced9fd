"""Faces: found, cut out upright, and pasted back."""

from .align import TEMPLATES, align_face, template_points
from .detect import DETECTORS, detect_faces
from .draw import draw_faces
from .face import Face
from .identity import face_likeness
from .paste import paste_back
from .select import ORDERS, SELECTION_ORDERS, FaceReport, select_faces

__all__ = [
    "DETECTORS",
    "ORDERS",
    "SELECTION_ORDERS",
    "TEMPLATES",
    "Face",
    "FaceReport",
    "align_face",
    "detect_faces",
    "draw_faces",
    "face_likeness",
    "paste_back",
    "select_faces",
    "template_points",
]
