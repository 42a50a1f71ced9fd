"""Films: read and written whole, faces followed through them and restored without flicker."""

from __future__ import annotations

from .cuts import Cuts
from .film import ANIMATION_SUFFIXES, VIDEO_SUFFIXES, Film, Frame
from .following import TrackChoice, choose_tracks, follow_faces
from .motion import as_gray
from .options import FilmOptions
from .restoring import restored_frames
from .tracks import Track
from .whole import RestoredFrames, open_film, restore_film, restore_frames

__all__ = [
    "ANIMATION_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Cuts",
    "Film",
    "FilmOptions",
    "Frame",
    "RestoredFrames",
    "Track",
    "TrackChoice",
    "as_gray",
    "choose_tracks",
    "follow_faces",
    "open_film",
    "restore_film",
    "restore_frames",
    "restored_frames",
]
