"""The program `compnn`: its commands, and how errors end it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import compnn
from compnn import _core
from compnn.cli import (
    build,
    console,
    control,
    demo,
    evaluate,
    figures,
    info,
    layers,
    match,
    reconstruct,
)
from compnn.errors import CompnnError

app = typer.Typer(
    name="compnn",
    help=(
        "Why did this pixel-level network paint that? compnn shows the pieces of the training set "
        "that a network's answer is made of. Begin with: compnn demo"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command(name="layers")(layers.layers)
app.command(name="build")(build.build)
app.command(name="info")(info.info)
app.command(name="reconstruct")(reconstruct.reconstruct)
app.command(name="evaluate")(evaluate.evaluate)
app.command(name="control")(control.control)
app.command(name="figures")(figures.figures)
app.command(name="match")(match.match)
app.command(name="demo")(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        level, supported = _core.simd_level(), ", ".join(_core.supported_simd_levels())
        print(f"compnn {compnn.__version__}, kernels: {level} (this machine runs: {supported})")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and the instruction set in use.",
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; bad input ends it with a message and exit code 2."""
    console.show_warnings()
    try:
        app()
    except CompnnError as error:
        console.print_error(str(error))
        sys.exit(2)
    except OSError as error:  # a path that the system refuses: too long, not permitted, ...
        place = f"{error.filename}: " if error.filename else ""
        console.print_error(f"{place}{error.strerror or error}; check the paths that were given")
        sys.exit(2)
