"""Stable Diffusion WebUI calls this before it parses its command line."""

from argparse import ArgumentParser


def preload(parser: ArgumentParser) -> None:
    parser.add_argument("--gpen-models-path", help="a folder of GPEN checkpoints besides models/GPEN")
