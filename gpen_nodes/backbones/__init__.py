"""Networks trained on ImageNet whose features tell how alike two pictures look: for losses and figures."""

from .alexnet import AlexNet
from .fill import fill
from .vgg import LAYERS, DistilledVgg19, Vgg19, load_vgg

__all__ = ["LAYERS", "AlexNet", "DistilledVgg19", "Vgg19", "fill", "load_vgg"]
