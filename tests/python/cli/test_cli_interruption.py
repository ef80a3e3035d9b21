"""Ctrl-C ends a command: exit code 130, no traceback, and what was finished is kept.

The signal is sent from the command's own progress, or in the middle of a search that would go on
for years, so that it always arrives while there is work to do.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import Call, World, run_process
from compnn.bank.bank import Bank
from memory_dataset import contents

ENDLESS = ("--method", "hyperpatch-match", "--iterations", 2**31 - 1)

IN_A_SEARCH = """
import os, signal
from compnn.search.search import HyperPatchMatch

run = HyperPatchMatch.run

def interrupted(self, *rest, progress=None, **options):
    # From within the engine, which asks Python for signals after it.
    return run(self, *rest, progress=lambda share: os.kill(os.getpid(), signal.SIGINT), **options)

HyperPatchMatch.run = interrupted
"""


def test_in_the_middle_of_a_search(world: World, tmp_path: Path) -> None:
    before = contents(tmp_path)
    for command in (
        ("reconstruct", world.bank, world.query, "-o", tmp_path / "out"),
        (
            *("match", world.query, world.query, "--network", world.network),
            *("--layer", "encoder_2", "-o", tmp_path / "out"),
        ),
    ):
        result = run_process(*command, *ENDLESS, before=IN_A_SEARCH)
        assert result.code == 130, result
        assert result.out == ""
        assert "Traceback" not in result.err
        assert contents(tmp_path) == before


def test_of_an_evaluation(world: World, tmp_path: Path) -> None:
    command = ("evaluate", world.bank, "--side-by-side", world.pairs, "-o", tmp_path / "out")
    result = run_process(*command, *ENDLESS, "--top-k", "all", before=IN_A_SEARCH)
    assert result.code == 130, result
    assert result.out == ""
    assert "interrupted before the first image was finished" in result.message
    assert "Traceback" not in result.err


AFTER_TWO_PAIRS = """
import os, signal
from compnn.cli import console
from contextlib import contextmanager

@contextmanager
def image_progress(title, *, quiet):
    def progress(done, total):
        if done == 2:
            os.kill(os.getpid(), signal.SIGINT)
    yield progress

console.image_progress = image_progress
"""


@pytest.mark.parametrize("command", ["build", "append"])
def test_a_build_goes_on_where_it_was_interrupted(
    run: Call, world: World, tmp_path: Path, command: str
) -> None:
    if command == "build":
        bank = tmp_path / "new.bank"
        call = ("build", bank, world.network, "--side-by-side", world.pairs)
    else:
        bank = world.bank
        for path in list(world.pairs.iterdir()):
            path.rename(path.with_name(f"more_{path.name}"))
        call = ("append", bank, "--side-by-side", world.pairs)
    result = run_process(*call, before=AFTER_TWO_PAIRS)
    assert result.code == 130, result
    assert result.out == ""
    assert "Traceback" not in result.err
    if command == "build":
        assert "Run the same build again" in run("info", bank).message
    else:
        assert json.loads(run("info", bank, "--json").out)["images"] == 5
    finished = run(*call)
    assert (finished.code, finished.err) == (0, "")
    assert len(Bank(bank)) == (5 if command == "build" else 10)
    assert run("info", bank, "--verify").code == 0
