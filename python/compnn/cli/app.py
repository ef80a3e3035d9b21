"""The program `compnn`: its commands, and how errors end it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.rich_utils import rich_format_error

import compnn
from compnn import _core
from compnn.cli import (
    append,
    attributes,
    build,
    compact,
    console,
    control,
    demo,
    drop,
    evaluate,
    figures,
    info,
    layers,
    match,
    merge,
    reconstruct,
)
from compnn.errors import CompnnError
from compnn.names import shown

# What typer raises for arguments that make no sense; their common class has no public name.
_UsageError: Any = typer.BadParameter.__mro__[1]

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
app.command(name="demo")(demo.demo)
app.command(name="layers")(layers.layers)
app.command(name="reconstruct")(reconstruct.reconstruct)
app.command(name="evaluate")(evaluate.evaluate)
app.command(name="control")(control.control)
app.command(name="figures")(figures.figures)
app.command(name="match")(match.match)
for _command in (
    build.build,
    append.append,
    merge.merge,
    drop.drop,
    compact.compact,
    attributes.attributes,
    info.info,
):
    app.command(rich_help_panel="Banks")(_command)


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
        sys.exit(app(standalone_mode=False) or 0)
    except CompnnError as error:
        console.print_error(str(error))
        sys.exit(2)
    except _UsageError as error:
        error.message = shown(error.message)
        rich_format_error(error)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)  # as shells say that Ctrl-C ended a program
    except OSError as error:  # a path that the system refuses: too long, not permitted, ...
        place = f"{error.filename}: " if error.filename else ""
        console.print_error(f"{place}{error.strerror or error}; check the paths that were given")
        sys.exit(2)
