"""Calls of the command line, in the process of the tests and in others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from compnn.cli import main
from compnn.images.files import write_image
from memory_dataset import MemoryDataset

START = Path.cwd()  # from where compnn can be imported

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


@dataclass
class Result:
    """How a call ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """Standard error as one line, without the frame that usage errors have."""
        return one_line(self.err)


Call = Callable[..., Result]
"""`call("info", bank)` calls the program."""
Refused = Callable[..., str]
"""The message of a call that must fail, see the fixture `refused`."""


@dataclass
class World:
    """A network, training pairs, a bank of them, and a query."""

    network: Path
    pairs: Path
    bank: Path
    query: Path


# A test that runs in the background of a shell has SIGINT ignored, and so would what it starts.
HEEDS_CTRL_C = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"


def run_process(
    *arguments: object, before: str = "", environment: Mapping[str, str] | None = None
) -> Result:
    """The program in a process of its own; `before` is run first."""
    program = f"{HEEDS_CTRL_C}{before}\nfrom compnn.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        timeout=120,
        cwd=START,
        env={**os.environ, **(environment or {})},
        check=False,
    )
    return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def write_pairs(folder: Path, count: int = 5, *, seed: int = 0) -> Path:
    """Images of 32x64 that hold input and target side by side."""
    folder.mkdir(parents=True)
    for pair in MemoryDataset(count, seed=seed):
        write_image(folder / f"{pair.name}.png", np.hstack([pair.input, pair.target]))
    return folder
