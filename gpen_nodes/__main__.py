"""``python -m gpen_nodes`` is the command ``gpen-nodes``; ``torchrun -m gpen_nodes`` starts many of it."""

import sys

from .cli import main

sys.exit(main())
