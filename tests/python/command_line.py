"""Calls of the command line in the process of the tests."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

import pytest

from compnn.cli import main

Run = Callable[..., tuple[int, str, str]]


def call_main(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of `compnn ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["compnn", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def one_line(error: str) -> str:
    """Standard error without its line breaks and the frame that usage errors have."""
    return " ".join(re.sub("[╭╮╰╯│─]", " ", error).split())


def runner(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    *,
    columns: int = 80,
) -> Run:
    """A function that calls `compnn COMMAND` in a terminal of so many columns.

    It returns the exit code, standard output, and standard error in one line.
    """
    monkeypatch.setenv("COLUMNS", str(columns))

    def run(*arguments: object) -> tuple[int, str, str]:
        code = call_main(monkeypatch, command, *arguments)
        captured = capsys.readouterr()
        return code, captured.out, one_line(captured.err)

    return run
