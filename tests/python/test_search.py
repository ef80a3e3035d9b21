"""The searches of `compnn._core` against plain NumPy."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn import _core
from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.search.search import MOST_EFFORT, SCHEDULES, bank_of
from reference import (
    Case,
    cell_norms,
    kept_as,
    place_index,
    random_case,
    similarities,
    smooth_case,
    stored,
    with_matches,
)

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-5

SEARCHES = ["exhaustive", "hyperpatch_match"]


def search(case: Case, kind: str = "exhaustive", **options: Any) -> tuple[np.ndarray, ...]:
    """(image, row, col, similarity), each (K, rows, cols)."""
    bank = bank_of(numbers(case, case.bank), cell_norms(case.bank))
    function = {
        "exhaustive": _core.exhaustive_search,
        "hyperpatch_match": _core.hyperpatch_match,
    }[kind]
    return function(
        bank,
        [(numbers(case, case.query), cell_norms(case.query), None)],
        case.candidates,
        case.hyperpatch,
        matches=case.matches,
        **options,
    )


def numbers(case: Case, cells: np.ndarray) -> np.ndarray:
    """Cells of a case as the engine is given them."""
    return cells if case.stored_as is None else stored(cells, case.stored_as)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Small cases of every kind: all dtypes, norms from 1e-12 to 1e12, zeros, copies, subsets."""
    h, w = draw(st.integers(1, 3)), draw(st.integers(1, 3))

    def size() -> tuple[int, int]:
        return h + draw(st.integers(0, 5)), w + draw(st.integers(0, 6))

    images, depth = draw(st.integers(1, 5)), draw(st.integers(1, 40))
    dtype = draw(st.sampled_from(ACTIVATION_DTYPES))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    query = generator.standard_normal((*size(), depth))
    bank = generator.standard_normal((images, *size(), depth))
    if draw(st.booleans()):  # few different cells, so that duplicates abound
        few = generator.standard_normal((2, depth))
        bank = few[generator.integers(0, 2, bank.shape[:3])]
        query = few[generator.integers(0, 2, query.shape[:2])]
    if dtype != "float16" and draw(st.booleans()):  # wide range of norms
        bank *= 10.0 ** generator.integers(-12, 13, (*bank.shape[:1], 1, 1, 1))
        query *= 10.0 ** draw(st.integers(-12, 12))
    if draw(st.booleans()):  # cells of zeros, as after ReLU
        bank[generator.random(bank.shape[:3]) < 0.4] = 0
        query[generator.random(query.shape[:2]) < 0.4] = 0
    chosen = np.sort(generator.permutation(images)[: draw(st.integers(1, images))])
    case = kept_as(Case(query, bank, (h, w), chosen.astype(np.int32)), dtype)
    return with_matches(case, draw(st.integers(1, 5)))


def check_field(case: Case, field: tuple[np.ndarray, ...]) -> None:
    """What holds for any search: distinct, sorted places that truly have their similarity."""
    image, row, col, similarity = field
    truth = similarities(case)
    shape = (case.matches, *truth.shape[:2])
    for array in (image, row, col):
        assert array.shape == shape
        assert array.dtype == np.int32
    assert similarity.shape == shape
    assert similarity.dtype == np.float32
    assert np.isfinite(similarity).all()
    assert (np.abs(similarity) <= 1).all()
    places = place_index(case, image, row, col)
    for first in range(case.matches):  # each place once
        assert (places[first] != places[first + 1 :]).all()
    assert (np.diff(similarity, axis=0) <= 0).all()
    own = np.take_along_axis(truth, np.moveaxis(places, 0, -1), axis=-1)
    np.testing.assert_allclose(similarity, np.moveaxis(own, -1, 0), atol=TOLERANCE, rtol=0)


@settings(deadline=None, max_examples=150)
@given(cases())
def test_exhaustive_search_equals_numpy(case: Case) -> None:
    field = search(case, num_threads=1)
    check_field(case, field)
    best = -np.sort(-similarities(case), axis=-1)[..., : case.matches]
    np.testing.assert_allclose(field[3], np.moveaxis(best, -1, 0), atol=TOLERANCE, rtol=0)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_of_equal_images_the_first_is_found(case: Case) -> None:
    images = len(case.bank)
    twice = dataclasses.replace(
        with_matches(case, 1),
        bank=np.concatenate([case.bank, case.bank]),
        candidates=np.arange(2 * images, dtype=np.int32),
    )
    assert (search(twice, num_threads=1)[0] < images).all()


@settings(deadline=None, max_examples=60)
@given(
    cases(),
    st.sampled_from(SCHEDULES),
    st.integers(1, MOST_EFFORT),
    st.integers(0, 12),
    st.integers(0, 2**64 - 1),
)
def test_hyperpatch_match_is_valid_and_never_better(
    case: Case, schedule: str, effort: int, rounds: int, seed: int
) -> None:
    options = {"schedule": schedule, "effort": effort, "iterations": rounds, "seed": seed}
    field = search(case, "hyperpatch_match", num_threads=1, **options)
    check_field(case, field)
    best = search(case, num_threads=1)[3]
    assert (field[3] <= best + 1e-6).all()


@settings(deadline=None, max_examples=25)
@given(cases(), st.sampled_from([*SCHEDULES, None]))
def test_number_of_threads_does_not_matter(case: Case, schedule: str | None) -> None:
    kind = "exhaustive" if schedule is None else "hyperpatch_match"
    options = {} if schedule is None else {"schedule": schedule, "iterations": 8}
    one = search(case, kind, num_threads=1, **options)
    for threads in (2, 5):
        again = search(case, kind, num_threads=threads, **options)
        for a, b in zip(one, again, strict=True):
            np.testing.assert_array_equal(a, b)


def test_zero_hyperpatches_have_similarity_zero() -> None:
    case = random_case(1, matches=3)
    case.bank[:] = 0
    for kind in SEARCHES:
        image, row, col, similarity = search(case, kind, num_threads=1)
        assert (similarity == 0).all()
    image, row, col, _ = search(case, num_threads=1)
    assert (image == 0).all()
    assert (row == 0).all()
    assert (col == np.arange(3)[:, None, None]).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-12, 1e12, 1e16])
@pytest.mark.parametrize("kind", SEARCHES)
def test_tiny_and_huge_norms_never_give_nan(kind: str, scale: float) -> None:
    case = random_case(2)
    for query, bank in ((scale, 1.0), (1.0, scale), (scale, scale), (scale, 1 / scale)):
        scaled = replace(
            case,
            query=(case.query * query).astype(np.float32),
            bank=(case.bank * min(bank, 1e16)).astype(np.float32),
        )
        similarity = search(scaled, kind, num_threads=1)[3]
        assert np.isfinite(similarity).all()
        assert (np.abs(similarity) <= 1).all()
        if min(query, bank) >= 1e-12 and max(query, bank) <= 1e12:
            check_field(scaled, search(scaled, kind, num_threads=1))


def test_many_rounds_find_the_exact_matches() -> None:
    case = random_case(3, images=2, matches=2)
    exact = search(case, num_threads=1)
    found = search(case, "hyperpatch_match", schedule="paper", iterations=3000, num_threads=1)
    for a, b in zip(exact[:3], found[:3], strict=True):
        np.testing.assert_array_equal(a, b)


def test_effort_brings_the_fast_schedule_near_the_exact_matches() -> None:
    case = smooth_case(9, images=24, side=48)  # too many hyperpatches to sort all at low effort
    exact = search(case, num_threads=2)[3].mean(dtype=np.float64)
    reached = [
        search(case, "hyperpatch_match", effort=effort)[3].mean(dtype=np.float64) / exact
        for effort in (1, 3, MOST_EFFORT)
    ]
    assert reached[0] < reached[1] < reached[2] <= 1
    assert reached[0] > 0.97
    assert reached[2] > 0.999
    few_rounds = search(case, "hyperpatch_match", schedule="paper", iterations=8)[3]
    assert few_rounds.mean() / exact < reached[0]


def test_seed_and_stop_when_unchanged() -> None:
    case = random_case(4)
    start = search(case, "hyperpatch_match", schedule="paper", iterations=0, seed=1)
    other = search(case, "hyperpatch_match", schedule="paper", iterations=0, seed=2)
    assert any((a != b).any() for a, b in zip(start, other, strict=True))
    tiny = random_case(5, images=1, bank=(2, 2), query=(2, 2))  # one hyperpatch: nothing to gain
    began = time.monotonic()
    search(tiny, "hyperpatch_match", iterations=2**31 - 1, stop_when_unchanged=True)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("level", _core.supported_simd_levels())
def test_every_simd_level_agrees(level: str, tmp_path: Path) -> None:
    """The same cases in a process of the given level."""
    script = (
        "import sys, numpy as np\n"
        "from compnn import _core\n"
        "from compnn.bank.layout import ACTIVATION_DTYPES\n"
        "from reference import random_case\n"
        "from test_search import search\n"
        "assert _core.simd_level() == sys.argv[1], _core.simd_level()\n"
        "fields = [search(random_case(s, depth=d, matches=2, dtype=t), num_threads=1)[3]\n"
        "          for s, d in ((1, 3), (2, 64), (3, 257)) for t in ACTIVATION_DTYPES]\n"
        "np.savez(sys.argv[2], *fields)\n"
    )
    path = tmp_path / "fields.npz"
    subprocess.run(
        [sys.executable, "-c", script, level, str(path)], env=_env(COMPNN_SIMD=level), check=True
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
        env=_env(COMPNN_SIMD="mmx"),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "COMPNN_SIMD=mmx is not supported here; choose one of: baseline" in done.stderr


def _env(**more: str) -> dict[str, str]:
    """The environment in which a subprocess imports what this process imports."""
    package = str(Path(_core.__file__ or "").resolve().parents[1])
    paths = [str(HERE), package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


LONG_SEARCH = {
    "exhaustive": "images=100, bank=(60, 60), query=(300, 300), depth=64",
    "hyperpatch_match": "images=2, depth=8",  # two thousand million rounds of microseconds
}


@pytest.mark.parametrize("kind", SEARCHES)
def test_ctrl_c_ends_a_search_within_a_second(kind: str) -> None:
    options = ", iterations=2**31 - 1" if kind == "hyperpatch_match" else ""
    script = (
        "import os, signal, threading, time\n"
        "from reference import random_case\n"
        "from test_search import search\n"
        f"case = random_case(1, {LONG_SEARCH[kind]})\n"
        "sent = []\n"
        "def interrupt():\n"
        "    sent.append(time.monotonic())\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Timer(0.5, interrupt).start()\n"
        "try:\n"
        f"    search(case, {kind!r}{options})\n"
        "except KeyboardInterrupt:\n"
        "    print('after', time.monotonic() - sent[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=_env(), capture_output=True, text=True, timeout=60
    )
    word, _, seconds = done.stdout.partition(" ")
    assert word == "after", f"no KeyboardInterrupt: {done.stderr}"
    assert float(seconds) < 1


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


def test_another_thread_runs_during_a_search() -> None:
    case = random_case(8, images=40, bank=(40, 40), query=(100, 100), depth=64)
    running = threading.Event()
    ticks = [0]

    def count() -> None:
        while not running.is_set():
            ticks[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        before, began = ticks[0], time.monotonic()
        search(case, num_threads=1)
        after, seconds = ticks[0], time.monotonic() - began
    finally:
        running.set()
        thread.join()
    assert seconds > 0.1, "the search is too short for this test"
    assert after - before > seconds * 20  # at least a tick in 50 ms


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
        ({"matches": 10**6}, "1000000 matches were asked for"),
        ({"query": np.zeros((5, 6, 3), np.float32)}, "3 channels, the bank's 11"),
        ({"query": np.zeros((5, 6, 11), np.float64)}, r"float16, uint16 \(bfloat16\) or int8"),
        ({"query": np.zeros((5, 6, 11), ">f4")}, "byte order"),
        ({"query": np.zeros((5, 11, 6), np.float32).transpose(0, 2, 1)}, "contiguous"),
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


def test_more_threads_than_the_system_has_is_no_crash() -> None:
    """In a process with little room for stacks: an error, or a result, but no abort."""
    script = (
        "import resource\n"
        "from reference import random_case\n"
        "from test_search import search\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "try:\n"
        "    search(random_case(1), num_threads=100000)\n"
        "except (RuntimeError, MemoryError, ValueError):\n"
        "    pass\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=_env(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_faiss_finds_the_same_similarities() -> None:
    faiss = pytest.importorskip("faiss")
    case = random_case(13, images=6, bank=(12, 12), query=(10, 10), depth=48, matches=3)

    def rows(cells: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(cells, case.hyperpatch, axis=(-3, -2))
        flat = windows.reshape(-1, 2 * 2 * 48).astype(np.float32)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    index = faiss.IndexFlatIP(2 * 2 * 48)
    index.add(rows(case.bank))
    similarity, place = index.search(rows(case.query), 3)
    found = search(case)
    np.testing.assert_allclose(found[3].reshape(3, -1).T, similarity, atol=TOLERANCE)
    np.testing.assert_array_equal(place_index(case, *found[:3]).reshape(3, -1).T, place)
