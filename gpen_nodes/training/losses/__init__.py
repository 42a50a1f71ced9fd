"""The losses: one small class for each term, and the frozen networks that some of them need."""

from .adversarial import LogisticGame, discriminator_loss, gradient_penalty, random_windows
from .identity import Identity
from .networks import Networks
from .objective import Objective
from .perceptual import Features, Lpips, Perceptual, Regions
from .pixel import Chroma, Pixel
from .projected import ProjectedDiscriminator, ProjectedGame, Remembered
from .terms import TERMS, Term

__all__ = [
    "TERMS",
    "Chroma",
    "Features",
    "Identity",
    "LogisticGame",
    "Lpips",
    "Networks",
    "Objective",
    "Perceptual",
    "Pixel",
    "ProjectedDiscriminator",
    "ProjectedGame",
    "Regions",
    "Remembered",
    "Term",
    "discriminator_loss",
    "gradient_penalty",
    "random_windows",
]
