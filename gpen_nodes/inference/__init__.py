"""Running a network: backends, the dtype that they compute in, and models that are kept in memory."""

from .backends import BACKENDS, Backend
from .cache import forget_restorers, get_restorer
from .dtypes import DTYPES
from .restorer import Restorer
from .several import Restorers, covering_size

__all__ = [
    "BACKENDS",
    "DTYPES",
    "Backend",
    "Restorer",
    "Restorers",
    "covering_size",
    "forget_restorers",
    "get_restorer",
]
