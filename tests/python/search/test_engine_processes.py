"""What the engine refuses, how it is ended, and that it runs beside other threads."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import HEEDS_CTRL_C
from compnn import _core
from compnn.bank.layout import ACTIVATION_DTYPES
from engine import SEARCHES, TOLERANCE, environment, search
from reference import random_case

# Both would go on for minutes at least.
LONG_CASES = {
    "exhaustive": "images=100, bank=(60, 60), query=(500, 500), depth=64",
    "hyperpatch_match": "images=2, depth=8",
}
LONG_OPTIONS = {"exhaustive": "", "hyperpatch_match": ", iterations=2**31 - 1"}
# The time that a test waits for what should happen at once.
TIMEOUT = 60


def run(script: str, *arguments: str, **variables: str) -> str:
    """What a script prints in a process of its own, with the engine and the cases imported."""
    imports = f"{HEEDS_CTRL_C}import os, sys, threading\nfrom engine import search\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}from reference import random_case\n{script}", *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("level", _core.supported_simd_levels())
def test_every_simd_level_agrees(level: str, tmp_path: Path) -> None:
    """The same cases in a process of the given level."""
    path = tmp_path / "fields.npz"
    run(
        "import numpy as np\n"
        "from compnn import _core\n"
        "from compnn.bank.layout import ACTIVATION_DTYPES\n"
        "assert _core.simd_level() == sys.argv[1], _core.simd_level()\n"
        "fields = [search(random_case(s, depth=d, matches=2, dtype=t), num_threads=1)[3]\n"
        "          for s, d in ((1, 3), (2, 64), (3, 257)) for t in ACTIVATION_DTYPES]\n"
        "np.savez(sys.argv[2], *fields)\n",
        level,
        str(path),
        COMPNN_SIMD=level,
    )
    with np.load(path) as fields:
        arrays = [fields[name] for name in fields.files]
    chosen = [(s, d, t) for s, d in ((1, 3), (2, 64), (3, 257)) for t in ACTIVATION_DTYPES]
    assert len(arrays) == len(chosen)
    for (seed, depth, dtype), similarity in zip(chosen, arrays, strict=True):
        here = search(random_case(seed, depth=depth, matches=2, dtype=dtype), num_threads=1)[3]
        np.testing.assert_allclose(similarity, here, atol=TOLERANCE, rtol=0)


def test_unknown_simd_level_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from compnn import _core; _core.simd_level()"],
        env=environment(COMPNN_SIMD="mmx"),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "COMPNN_SIMD=mmx is not supported here; choose one of: baseline" in done.stderr


def test_more_threads_than_the_system_has_is_no_crash() -> None:
    """In a process with little room for stacks: an error, or a result, but no abort."""
    run(
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "try:\n"
        "    search(random_case(1), num_threads=100000)\n"
        "except (RuntimeError, MemoryError, ValueError):\n"
        "    pass\n"
    )


# Ending a search


@pytest.mark.parametrize("kind", SEARCHES)
def test_ctrl_c_ends_a_search(kind: str) -> None:
    """Another thread sends it, which runs although the search has no callback."""
    printed = run(
        f"case = random_case(1, {LONG_CASES[kind]})\n"
        "interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Timer(0.5, interrupt).start()\n"
        "try:\n"
        f"    search(case, {kind!r}{LONG_OPTIONS[kind]})\n"
        "    print('to its end')\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    assert printed == "interrupted\n"


def test_another_thread_runs_during_a_search() -> None:
    """The search would not end if the thread that ends it were kept waiting."""
    printed = run(
        "import time\n"
        "ticks = []\n"
        "def count():\n"
        "    while len(ticks) < 300:\n"
        "        ticks.append(len(ticks))\n"
        "        time.sleep(0.001)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        f"case = random_case(8, {LONG_CASES['hyperpatch_match']})\n"
        "threading.Thread(target=count).start()\n"
        "try:\n"
        f"    search(case, 'hyperpatch_match', num_threads=1{LONG_OPTIONS['hyperpatch_match']})\n"
        "except KeyboardInterrupt:\n"
        "    print(len(ticks))\n"
    )
    assert printed == "300\n"


@pytest.mark.parametrize("kind", SEARCHES)
def test_progress_ascends_and_its_exception_comes_out(kind: str) -> None:
    case = random_case(6, images=200, bank=(50, 50), query=(150, 150), depth=32)
    seen: list[float] = []

    def progress(fraction: float) -> None:
        seen.append(fraction)
        if len(seen) == 3:
            raise KeyError("enough")

    options = {"iterations": 2**31 - 1} if kind == "hyperpatch_match" else {}
    with pytest.raises(KeyError, match="enough"):
        search(case, kind, progress=progress, **options)
    assert len(seen) == 3
    assert all(0 <= fraction <= 1 for fraction in seen)
    assert seen == sorted(seen)


def test_progress_ascends_within_one_search() -> None:
    case = random_case(7, images=30, bank=(40, 40), query=(40, 40), depth=64)
    seen: list[float] = []
    search(case, num_threads=1, progress=seen.append)
    assert seen == sorted(seen)
    assert all(0 <= fraction <= 1 for fraction in seen)
    seen.clear()
    search(case, "hyperpatch_match", iterations=2000, num_threads=1, progress=seen.append)
    assert len(seen) >= 2
    assert seen == sorted(seen)
    assert all(0 <= fraction <= 1 for fraction in seen)


# Arguments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hyperpatch": (0, 1)}, "hyperpatch of 0x1"),
        ({"hyperpatch": (2, 99)}, "hyperpatch of 2x99 cells does not fit"),
        ({"candidates": np.array([], np.int32)}, "no candidate"),
        ({"candidates": np.array([0, 4], np.int32)}, "candidate 4 is outside the bank's 4"),
        ({"candidates": np.array([-1], np.int32)}, "candidate -1"),
        ({"candidates": np.array([2, 1], np.int32)}, "ascend"),
        ({"candidates": np.array([[0]], np.int32)}, "candidates must have one dimension"),
        ({"matches": 0}, "matches must be at least 1, not 0"),
        ({"matches": -1}, "matches must be at least 1, not -1"),
        ({"query": np.zeros((5, 6, 3), np.float32)}, "3 channels, the bank's 11"),
        ({"query": np.zeros((5, 6, 11), np.float64)}, r"float16, uint16 \(bfloat16\) or int8"),
        ({"query": np.zeros((5, 6, 11), ">f4")}, "byte order"),
        ({"query": np.zeros((5, 11, 6), np.float32).transpose(0, 2, 1)}, "contiguous"),
        ({"query": np.zeros((30, 11), np.float32)}, r"\(H, W, D\)"),
    ],
)
@pytest.mark.parametrize("kind", SEARCHES)
def test_wrong_arguments(kind: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search(replace(random_case(9), **change), kind)


def test_wrong_options() -> None:
    case = random_case(10)
    with pytest.raises(ValueError, match="num_threads must be positive"):
        search(case, num_threads=0)
    with pytest.raises(ValueError, match="iterations must be at least 0"):
        search(case, "hyperpatch_match", iterations=-2)
    with pytest.raises(ValueError, match="effort must be 1 to 8, not 9"):
        search(case, "hyperpatch_match", effort=9)
    with pytest.raises(ValueError, match="schedule must be fast or paper"):
        search(case, "hyperpatch_match", schedule="slow")


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
def test_cells_of_every_dtype_are_taken(dtype: str) -> None:
    found = search(random_case(11, dtype=dtype, matches=2))
    assert [array.shape for array in found] == [(2, 4, 5)] * 4
