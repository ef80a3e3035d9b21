"""The command line: `compnn layers`, `build`, `info`, `reconstruct`, `demo`."""

from compnn.cli.app import main

__all__ = ["main"]
