"""What the networks are trained for: one small class a term, and where their own networks come from."""

from .adversarial import Adversarial, discriminator_loss, gradient_penalty, random_windows
from .identity import Identity
from .networks import Networks
from .objective import Objective
from .perceptual import AlexNet, Lpips, Perceptual, Vgg19
from .pixel import Pixel, Sharpness, local_sharpness

__all__ = [
    "Adversarial",
    "AlexNet",
    "Identity",
    "Lpips",
    "Networks",
    "Objective",
    "Perceptual",
    "Pixel",
    "Sharpness",
    "Vgg19",
    "discriminator_loss",
    "gradient_penalty",
    "local_sharpness",
    "random_windows",
]
