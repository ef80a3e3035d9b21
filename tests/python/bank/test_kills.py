"""Writers that are killed at any step: nothing is lost, and the same command then works."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank import layout
from compnn.bank.bank import Bank, build, merge
from compnn.bank.generations import Writer
from memory_dataset import MemoryDataset
from numpy_network import NumpyNetwork
from stores import check_pairs, python, record

SIZE = (16, 16)
NETWORK = NumpyNetwork(SIZE)
OLD = MemoryDataset(6, SIZE)
NEW = MemoryDataset(5, SIZE, seed=1, prefix="new_")
# What changes something on the disk. Of files that are opened to be written, writing itself is not
# seen, but what comes before and after it.
STEPS = (
    "open",
    "pwrite",
    "ftruncate",
    "posix_fallocate",
    "fsync",
    "replace",
    "link",
    "unlink",
    "mkdir",
    "rmdir",
)


def overwrite(path: Path) -> None:
    build(path, NETWORK, NEW, overwrite=True)


def append(path: Path) -> None:
    Bank(path).append(NETWORK, NEW)


def drop(path: Path) -> None:
    Bank(path).drop(["img_0", "img_3", "img_4", "img_5"])


def compact(path: Path) -> None:
    Bank(path).compact()


def attach(path: Path) -> None:
    Bank(path).attach("codebook", {"x": np.arange(9)})


def merge_into(path: Path) -> None:
    merge([path, path.with_name("other")], path, overwrite=True)


def merge_anew(path: Path) -> None:
    merge([path.with_name("first"), path.with_name("other")], path)


def build_anew(path: Path) -> None:
    build(path, NETWORK, NEW)


# What each leaves: the pairs before it, if there is a bank, and those after it.
COMMANDS: dict[str, tuple[Callable[[Path], None], list[Any], list[Any]]] = {
    "build": (build_anew, [], list(NEW)),
    "overwrite": (overwrite, list(OLD), list(NEW)),
    "append": (append, list(OLD), [*OLD, *NEW]),
    "drop": (drop, list(OLD), [OLD[1], OLD[2]]),
    "compact": (compact, [OLD[1], OLD[2], OLD[5]], [OLD[1], OLD[2], OLD[5]]),
    "attach": (attach, list(OLD), list(OLD)),
    "merge": (merge_anew, [], [*OLD, *NEW]),
    "merge and overwrite": (merge_into, list(OLD), [*OLD, *NEW]),
}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "SHARD_IMAGES", 3)


def prepare(folder: Path, name: str) -> Path:
    """Make what is there before a command in an empty folder; return the path of its bank."""
    path = folder / "bank"
    if name.startswith("merge"):
        build(folder / "first", NETWORK, OLD).close()
        build(folder / "other", NETWORK, NEW).close()
    if COMMANDS[name][1]:
        bank = build(path, NETWORK, OLD)
        if name == "compact":
            bank.drop(["img_0", "img_3", "img_4"])
        bank.close()
    return path


def killed_at(step: int, command: Callable[[Path], None], path: Path) -> tuple[bool, int]:
    """Run a command in a child that is killed at a step; whether it was, and how many it took."""
    steps, report = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            count = [0]

            def counted(name: str) -> Callable[..., Any]:
                original = getattr(os, name)

                def call(*arguments: Any, **options: Any) -> Any:
                    if name != "open" or arguments[1] & os.O_CREAT:
                        count[0] += 1
                        if count[0] == step:
                            os.kill(os.getpid(), signal.SIGKILL)
                    return original(*arguments, **options)

                return call

            for name in STEPS:
                setattr(os, name, counted(name))
            command(path)
            os.write(report, str(count[0]).encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(report)
    _, status = os.waitpid(child, 0)
    with os.fdopen(steps, "rb") as stream:
        told = stream.read()
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True, step
    assert os.WEXITSTATUS(status) == 0
    return False, int(told)


def check_whole(path: Path, before: list[Any], after: list[Any]) -> list[Any]:
    """The bank is what it was or what it was to be, undamaged; return which."""
    with Bank(path) as bank:
        bank.verify()
        found = after if bank.names == tuple(pair.name for pair in after) else before
        check_pairs(bank, found)
        return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_any_step(tmp_path: Path, name: str, kills: int) -> None:
    command, before, after = COMMANDS[name]
    template = tmp_path / "template"
    template.mkdir()
    prepare(template, name)
    expected = Path(shutil.copytree(template, tmp_path / "expected")) / "bank"
    killed, total = killed_at(-1, command, expected)
    assert not killed
    steps = sorted(set(np.linspace(1, total, min(kills, total)).round().astype(int).tolist()))
    for step in steps:
        folder = Path(shutil.copytree(template, tmp_path / f"at {step}"))
        path = folder / "bank"
        killed, _ = killed_at(step, command, path)
        assert killed
        # What was there is still there, or what was to be.
        found = None
        if before:
            found = check_whole(path, before, after)
        elif (path / "manifest.json").exists():
            found = check_whole(path, after, after)
        # The same again gives what it would have given at once.
        if found != after or before == after or name == "overwrite":
            command(path)
        check_whole(path, after, after)
        check_nothing_is_left(path, expected)
        shutil.rmtree(folder)


def check_nothing_is_left(path: Path, expected: Path) -> None:
    """Besides the bank there is nothing of the attempt, once a writer has been there again."""
    for each in (path, expected):
        Writer(each).close()
    ours, theirs = Bank(path), Bank(expected)
    assert {each.name for each in path.iterdir()} == {each.name for each in expected.iterdir()}
    for kind in ("shards", "tables", "generations", "directions", "attachments"):
        if (expected / kind).exists():
            assert len(os.listdir(path / kind)) == len(os.listdir(expected / kind)), kind
    for image in range(len(theirs)):
        for spec in theirs._opened.shards[0].specs:
            one, other = (record(bank, spec.file, image) for bank in (ours, theirs))
            np.testing.assert_array_equal(one, other)


PROGRAM = """
    import sys
    from pathlib import Path
    from compnn.bank import layout
    from tests.python.bank import test_kills

    layout.SHARD_IMAGES = 3
    print("ready", flush=True)
    sys.stdin.readline()
    test_kills.COMMANDS[{name!r}][0](Path({path!r}))
"""


@pytest.mark.parametrize("name", ["build", "overwrite", "append", "merge"])
def test_killed_at_random_moments(tmp_path: Path, name: str, kills: int) -> None:
    """As it is outside of tests: another process, and a signal at any time."""
    command, before, after = COMMANDS[name]
    source = random.Random(name)
    for attempt in range(max(2, kills // 5)):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        path = prepare(folder, name)
        program = PROGRAM.format(name=name, path=str(path))
        with python(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.stdin.write(b"\n")
            process.stdin.flush()
            time.sleep(source.uniform(0, 0.1))
            process.kill()
        found = check_whole(path, before, after) if (path / "manifest.json").exists() else None
        assert found is not None or not before
        if found != after:
            command(path)
        check_whole(path, after, after)
        shutil.rmtree(folder)
