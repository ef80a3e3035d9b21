"""The searches of `compnn._core` against plain NumPy."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.bank.layout import ACTIVATION_DTYPES
from compnn.search.search import MOST_EFFORT, SCHEDULES
from engine import SEARCHES, TOLERANCE, cases, check_exact, check_field, check_same, search
from reference import Case, kept_as, place_index, random_case, smooth_case, with_matches


@settings(deadline=None, max_examples=150)
@given(cases())
def test_exhaustive_search_equals_numpy(case: Case) -> None:
    check_exact(case, search(case, num_threads=1))


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
    matched = field[0] >= 0
    assert (field[3][matched] <= best[matched] + 1e-6).all()


@settings(deadline=None, max_examples=25)
@given(cases(), st.sampled_from([*SCHEDULES, None]))
def test_number_of_threads_does_not_matter(case: Case, schedule: str | None) -> None:
    kind = "exhaustive" if schedule is None else "hyperpatch_match"
    options = {} if schedule is None else {"schedule": schedule, "iterations": 8}
    one = search(case, kind, num_threads=1, **options)
    for threads in (2, 5):
        check_same(one, search(case, kind, num_threads=threads, **options))


@pytest.mark.parametrize("kind", SEARCHES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_zero_hyperpatches_match_nothing(kind: str, schedule: str) -> None:
    options = {} if kind == "exhaustive" else {"schedule": schedule, "iterations": 20}
    for zero in ("query", "bank"):
        case = random_case(1, matches=3)
        getattr(case, zero)[:] = 0
        *places, similarity = search(case, kind, num_threads=1, **options)
        assert (similarity == 0).all()
        assert (np.array(places) == -1).all()


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
@pytest.mark.parametrize("kind", SEARCHES)
def test_what_points_the_other_way_is_a_match_and_zeros_are_none(kind: str, dtype: str) -> None:
    """Five hyperpatches of the bank have a direction, and all of them are unlike the query."""
    case = random_case(2, images=3, bank=(6, 6), matches=8, hyperpatch=(1, 1))
    query, bank = np.abs(case.query), np.zeros_like(case.bank)
    for image, row, col in ((0, 5, 5), (1, 0, 0), (1, 0, 1), (2, 3, 3), (2, 5, 0)):
        bank[image, row, col] = -np.abs(case.bank[image, row, col])
    case = kept_as(replace(case, query=query, bank=bank), dtype)
    options = {} if kind == "exhaustive" else {"schedule": "paper", "iterations": 300}
    field = search(case, kind, num_threads=2, **options)
    check_exact(case, field)
    assert ((field[0] >= 0).sum(axis=0) == 5).all()
    assert (field[3][:5] < 0).all()


@settings(deadline=None, max_examples=40)
@given(cases(), st.floats(0.5, 0.97), st.integers(0, 2**32), st.sampled_from([*SCHEDULES, None]))
def test_banks_and_queries_of_mostly_zeros(
    case: Case, share: float, seed: int, schedule: str | None
) -> None:
    generator = np.random.default_rng(seed)
    for cells in (case.query, *case.bank):
        cells[generator.random(cells.shape[:2]) < share] = 0
    if schedule is None:
        check_exact(case, search(case, num_threads=2))
    else:
        options = {"schedule": schedule, "iterations": 5, "seed": seed}
        field = search(case, "hyperpatch_match", num_threads=1, **options)
        check_field(case, field)
        check_same(field, search(case, "hyperpatch_match", num_threads=3, **options))


def test_large_searches_among_zeros_are_exact() -> None:
    """So large that a guess and a codebook exclude what they can."""
    case = smooth_case(4, images=5, side=60, depth=12)
    rows = np.arange(60)[:, None]
    for number, cells in enumerate((case.query, *case.bank)):
        cells[(rows + np.arange(60) + 7 * number) % 20 < 12] = 0
    case = replace(with_matches(case, 3), bank=-np.abs(case.bank), query=np.abs(case.query))
    field = search(case, num_threads=2)
    assert 0.2 < (field[0] < 0).mean() < 0.8
    check_exact(case, field)


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
    check_same(exact[:3], found[:3])


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


def test_the_seed_changes_the_field() -> None:
    case = random_case(4)
    start = search(case, "hyperpatch_match", schedule="paper", iterations=0, seed=1)
    other = search(case, "hyperpatch_match", schedule="paper", iterations=0, seed=2)
    assert any((a != b).any() for a, b in zip(start, other, strict=True))


def test_a_search_stops_when_nothing_changes() -> None:
    """Of the thousand millions of rounds that one hyperpatch, with nothing to gain, is given."""
    tiny = random_case(5, images=1, bank=(2, 2), query=(2, 2))
    few = search(tiny, "hyperpatch_match", iterations=2)

    def stop(share: float) -> None:
        if 1e-4 < share < 1:  # after some hundred thousand rounds
            raise StopIteration

    many = {"iterations": 2**31 - 1, "progress": stop}
    check_same(few, search(tiny, "hyperpatch_match", stop_when_unchanged=True, **many))
    with pytest.raises(StopIteration):
        search(tiny, "hyperpatch_match", **many)


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
