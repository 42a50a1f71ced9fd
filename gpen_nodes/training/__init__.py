"""How models are made: aligned faces, losses, the loop."""

from .config import TrainingConfig
from .dataset import FaceStore
from .loop import train
from .prepare import prepare_faces

__all__ = ["FaceStore", "TrainingConfig", "prepare_faces", "train"]
