"""Networks trained on ImageNet whose features tell how alike two pictures look: for losses and figures."""

from .alexnet import AlexNet
from .distance import feature_distance
from .fill import fill
from .vgg import LAYERS, DistilledVgg19, Vgg19, load_vgg

__all__ = ["LAYERS", "AlexNet", "DistilledVgg19", "Vgg19", "feature_distance", "fill", "load_vgg"]
