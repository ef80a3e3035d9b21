"""What the commands print: tables and progress for people, JSON for programs.

The one place from which text goes to a terminal: all of it passes `names.shown` here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from compnn.names import json_text, shown

_WIDEST = 10_000

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def say(*lines: str, bold: bool = False) -> None:
    """Print lines on standard output; the terminal breaks those that are too long."""
    for line in lines:
        _out.print(shown(line), style="bold" if bold else None, markup=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Print an error on standard error, in one paragraph."""
    _print_note("[bold red]error:[/]", message)


def print_note(message: str) -> None:
    """Print on standard error what somebody may want to know, in one paragraph."""
    _print_note("[bold yellow]note:[/]", message)


def print_json(document: object) -> None:
    """Print a JSON document on standard output, and nothing else with it."""
    print(json_text(document))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are aligned to the right.

    Lines that are too long for the terminal are broken by that: nothing is cut off.
    """
    say(title, bold=True)
    rows = [[shown(cell) for cell in row] for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(map(shown, columns)):
        table.add_column(escape(column), justify="left" if number == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    width = Measurement.get(_out, _out.options.update(max_width=_WIDEST), table).maximum
    Console(highlight=False, width=max(width, _out.width)).print(table)


def show_warnings() -> None:
    """Print warnings as notes instead of Python's form with file and line."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        print_note(str(message))

    warnings.showwarning = show


def _print_note(heading: str, message: str) -> None:
    _err.print(heading, end=" ")
    _err.print(shown(message), markup=False, soft_wrap=True)


@contextmanager
def image_progress(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar that counts images; yields `progress(done, total)`."""
    with _progress(MofNCompleteColumn(), quiet=quiet) as progress:
        task = progress.add_task(shown(title), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def layer_progress(*, quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """Show a bar for each layer that is searched; yields `progress(layer, share)`."""
    with _progress(TaskProgressColumn(), quiet=quiet) as progress:
        tasks: dict[str, TaskID] = {}

        def report(layer: str, share: float) -> None:
            if layer not in tasks:
                tasks[layer] = progress.add_task(shown(layer), total=1.0)
            progress.update(tasks[layer], completed=share)

        yield report


def _progress(count: MofNCompleteColumn | TaskProgressColumn, *, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        count,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=_err,
        transient=True,
        disable=quiet or not _err.is_terminal,
    )
