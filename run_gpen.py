"""Restore faces from the command line: the same as ``gpen-nodes restore``, without installing the package."""

import sys

from gpen_nodes.cli import main

if __name__ == "__main__":
    sys.exit(main(["restore", *sys.argv[1:]]))
