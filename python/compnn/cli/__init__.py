"""The command line, the program `compnn`: one file for each command."""

from compnn.cli.app import main

__all__ = ["main"]
