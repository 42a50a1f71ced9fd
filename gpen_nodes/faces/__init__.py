"""Faces: found, selected, cut out upright, judged, and pasted back."""

from .alignment import align_face, align_faces, crop_pixels
from .blending.mask import fit_mask
from .blending.paste import paste_back
from .boxed import find_faces_in_boxes
from .detectors import DETECTORS, detector_weights, usable_detectors
from .drawing import draw_faces
from .face import AlignedFace, DetectedFace
from .finding import detect_faces, find_faces
from .geometry.templates import TEMPLATES, template_points
from .identity import face_likeness
from .judging import FaceReport, Verdict, judge_crop, judge_faces, report_faces
from .options import AlignOptions, DetectOptions, JudgeOptions, PasteOptions, RestoreOptions, SelectOptions
from .orders import ORDERS, SELECTION_ORDERS
from .selection import FaceChoice, select_faces

__all__ = [
    "DETECTORS",
    "ORDERS",
    "SELECTION_ORDERS",
    "TEMPLATES",
    "AlignOptions",
    "AlignedFace",
    "DetectOptions",
    "DetectedFace",
    "FaceChoice",
    "FaceReport",
    "JudgeOptions",
    "PasteOptions",
    "RestoreOptions",
    "SelectOptions",
    "Verdict",
    "align_face",
    "align_faces",
    "crop_pixels",
    "detect_faces",
    "detector_weights",
    "draw_faces",
    "face_likeness",
    "find_faces",
    "find_faces_in_boxes",
    "fit_mask",
    "judge_crop",
    "judge_faces",
    "paste_back",
    "report_faces",
    "select_faces",
    "template_points",
    "usable_detectors",
]
