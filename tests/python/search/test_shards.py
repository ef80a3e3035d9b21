"""The engine's bank: shards, images of many sizes, and cells along several bases."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn import _core
from compnn.bank.layout import ACTIVATION_DTYPES, stored_dtype
from compnn.search.search import SCHEDULES
from engine import (
    SEARCHES,
    TOLERANCE,
    Arrays,
    bank_of,
    cases,
    check_exact,
    check_field,
    check_same,
    numbers,
    search,
)
from reference import Case, cell_norms, place_index, random_case, similarities

# Sizes


@settings(deadline=None, max_examples=150)
@given(cases(mixed=True))
def test_images_of_many_sizes_are_searched_exhaustively(case: Case) -> None:
    check_exact(case, search(case, num_threads=1))
    check_same(search(case, num_threads=1), search(case, num_threads=3))


@settings(deadline=None, max_examples=60)
@given(cases(mixed=True), st.sampled_from(SCHEDULES), st.integers(0, 12), st.integers(0, 99))
def test_images_of_many_sizes_are_searched_approximately(
    case: Case, schedule: str, rounds: int, seed: int
) -> None:
    options = {"schedule": schedule, "iterations": rounds, "seed": seed}
    field = search(case, "hyperpatch_match", num_threads=1, **options)
    check_field(case, field)
    assert (field[3] <= search(case, num_threads=1)[3] + 1e-6).all()
    check_same(field, search(case, "hyperpatch_match", num_threads=3, **options))


@pytest.mark.parametrize("kind", SEARCHES)
def test_images_too_small_for_a_hyperpatch_change_nothing(kind: str) -> None:
    case = random_case(1, matches=2, images=3)
    small = [np.ones((1, 9, 11), np.float32), np.ones((9, 1, 11), np.float32)]
    mixed = Case(
        case.query,
        [small[0], case.bank[0], small[1], case.bank[1], case.bank[2]],
        case.hyperpatch,
        np.arange(5, dtype=np.int32),
        matches=2,
    )
    image, *rest = search(case, kind)
    found, *others = search(mixed, kind)
    check_same((np.array([1, 3, 4])[image], *rest), (found, *others))
    with pytest.raises(ValueError, match="hyperpatch of 2x2 cells fits none of the candidates"):
        search(Case(case.query, small, case.hyperpatch, np.arange(2, dtype=np.int32)), kind)


def test_matches_beyond_the_hyperpatches_of_all_sizes() -> None:
    case = random_case(2)
    images = [case.bank[0][:2, :3], case.bank[1][:3, :3], case.bank[2][:1]]
    everything = np.arange(3, dtype=np.int32)
    check_exact(*_with_field(Case(case.query, images, (2, 2), everything, matches=6)))
    check_same_but_for_none(
        search(Case(case.query, images, (2, 2), everything, matches=6)),
        search(Case(case.query, images, (2, 2), everything, matches=7)),
    )


def check_same_but_for_none(some: Arrays, more: Arrays) -> None:
    for found, longer, none in zip(some, more, (-1, -1, -1, 0), strict=True):
        np.testing.assert_array_equal(longer[: len(found)], found)
        assert len(longer) > len(found)
        assert (longer[len(found) :] == none).all()


def _with_field(case: Case) -> tuple[Case, Arrays]:
    return case, search(case)


# Shards


@settings(deadline=None, max_examples=40)
@given(cases(mixed=True), st.integers(0, 2**32 - 1), st.sampled_from([*SCHEDULES, None]))
def test_shards_change_nothing(case: Case, seed: int, schedule: str | None) -> None:
    random = np.random.default_rng(seed)
    count = len(case.bank)
    _, shards = np.unique(random.integers(0, 3, count), return_inverse=True)
    bank = bank_of(
        [numbers(case, image) for image in case.bank],
        [cell_norms(image) for image in case.bank],
        shards.tolist(),
        [0] * (int(shards.max()) + 1),
    )
    assert bank.images == count
    kind = "exhaustive" if schedule is None else "hyperpatch_match"
    options: dict[str, Any] = {} if schedule is None else {"schedule": schedule, "iterations": 4}
    found = SEARCHES[kind](
        bank,
        [(numbers(case, case.query), cell_norms(case.query), None)],
        case.candidates,
        case.hyperpatch,
        matches=case.matches,
        **options,
    )
    check_same(found, search(case, kind, **options))


# Bases


def turned(seed: int, depth: int) -> npt.NDArray[np.float64]:
    """Directions (depth, depth) of another coordinate system."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((depth, depth)))[0]


class InBases:
    """A case of which some images are kept along other directions, each basis in a shard."""

    def __init__(self, case: Case, bases: list[int], shares: bool = False) -> None:
        depth = case.query.shape[-1]
        along = [np.eye(depth), *(turned(each, depth) for each in range(1, max(bases) + 1))]
        cells = [
            np.ascontiguousarray(image @ along[basis].T, np.float32)
            for image, basis in zip(case.bank, bases, strict=True)
        ]
        self.case, self.bases = case, np.array(bases)
        self.bank = bank_of(
            cells, [cell_norms(image) for image in cells], bases, range(max(bases) + 1)
        )
        h, w = case.hyperpatch
        grid = case.query.shape[0] - h + 1, case.query.shape[1] - w + 1
        random = np.random.default_rng(5)
        self.shares = [
            random.uniform(0, 1, grid).astype(np.float32) if shares else None for _ in along
        ]
        self.queries = []
        for directions, share in zip(along, self.shares, strict=True):
            query = np.ascontiguousarray(case.query @ directions.T, np.float32)
            self.queries.append((query, cell_norms(query), share))

    def search(self, kind: str, **options: Any) -> Arrays:
        case = self.case
        arguments = case.candidates, case.hyperpatch
        return SEARCHES[kind](self.bank, self.queries, *arguments, matches=case.matches, **options)

    def similarities(self) -> npt.NDArray[np.float64]:
        """As those of `reference`, times the shares."""
        truth = similarities(self.case)
        counts = self.case.grids()[self.case.candidates].prod(axis=1)
        bases = np.repeat(self.bases[self.case.candidates], counts)
        for basis, share in enumerate(self.shares):
            if share is not None:
                truth[..., bases == basis] *= share[..., None]
        return truth


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 999), st.integers(1, 4), st.booleans(), st.integers(1, 9))
def test_bases_are_compared_with_each_other(
    seed: int, count: int, shares: bool, matches: int
) -> None:
    random = np.random.default_rng(seed)
    _, bases = np.unique(random.integers(0, 3, count), return_inverse=True)
    case = random_case(seed, images=count, bank=(4, 4), query=(4, 5), depth=6, matches=matches)
    made = InBases(case, bases.tolist(), shares)
    truth = made.similarities()
    best = np.moveaxis(-np.sort(-truth, axis=-1)[..., :matches], -1, 0)
    exact = made.search("exhaustive")
    np.testing.assert_allclose(exact[3], best, atol=TOLERANCE, rtol=0)
    found = made.search("hyperpatch_match", iterations=4)
    assert (found[3] <= best + TOLERANCE).all()
    for field in (exact, found):
        places = place_index(case, *field[:3])
        own = np.take_along_axis(truth, np.moveaxis(places, 0, -1), axis=-1)
        np.testing.assert_allclose(field[3], np.moveaxis(own, -1, 0), atol=TOLERANCE, rtol=0)
        assert (np.diff(field[3], axis=0) <= 0).all()
        for first in range(matches):
            assert (places[first] != places[first + 1 :]).all()
    for kind, field in (("exhaustive", exact), ("hyperpatch_match", found)):
        options = {"iterations": 4} if kind == "hyperpatch_match" else {}
        check_same(field, made.search(kind, num_threads=3, **options))


def test_many_rounds_find_the_exact_matches_of_all_bases() -> None:
    case = random_case(3, images=3, bank=(4, 4), query=(4, 4), matches=2)
    made = InBases(case, [0, 1, 0], shares=True)
    options = {"schedule": "paper", "iterations": 3000}
    check_same(made.search("exhaustive")[:3], made.search("hyperpatch_match", **options)[:3])


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_query_in_other_bases_than_the_bank(kind: str) -> None:
    made = InBases(random_case(4, images=2), [0, 1])
    grid = made.case.query.shape[0] - 1, made.case.query.shape[1] - 1
    query, norms, _ = made.queries[1]
    both = made.queries
    made.queries = both[:1]
    with pytest.raises(ValueError, match="the bank's cells are in 2 bases, the query's in 1"):
        made.search(kind)
    for wrong, message in (
        (np.full(grid, 2, np.float32), r"share must be in \[0, 1\]"),
        (np.full(grid, np.nan, np.float32), r"share must be in \[0, 1\]"),
        (np.ones((1, 1), np.float32), "one number for each hyperpatch"),
        (np.ones(grid), "float32"),
    ):
        made.queries = [both[0], (query, norms, wrong)]
        with pytest.raises(ValueError, match=message):
            made.search(kind)


# What a bank of the engine is made of


def shard(cells: int = 12, depth: int = 3, basis: int = 0, dtype: str = "float32") -> Any:
    return np.zeros((cells, depth), stored_dtype(dtype)), np.zeros(cells, np.float32), basis


@pytest.mark.parametrize(
    ("shards", "images", "message"),
    [
        ([], [[0, 0, 1, 1]], "at least one shard"),
        ([shard()], [[1, 0, 1, 1]], "shard 1"),
        ([shard()], [[-1, 0, 1, 1]], "shard -1"),
        ([shard()], [[0, 0, 0, 4]], "0x4"),
        ([shard()], [[0, 0, 4, -3]], "4x-3"),
        ([shard()], [[0, 0, 4, 4]], "4x4"),
        ([shard()], [[0, 1, 3, 4]], "cell 1"),
        ([shard()], [[0, -1, 1, 1]], "cell -1"),
        ([shard()], [[0, 2**62, 1, 1]], "image 0"),
        ([shard()], [[0, 0, 2**32, 2**32]], "image 0"),
        ([shard()], [[0, 0, 2**62, 4]], "image 0"),
        ([shard()], [[0, 0, 3, 4], [0, 0, 13, 1]], "image 1"),
        ([shard(), shard(depth=4)], [[0, 0, 1, 1]], "channels"),
        ([shard(), shard(dtype="float16")], [[0, 0, 1, 1]], "type"),
        ([shard(basis=1)], [[0, 0, 1, 1]], "basis"),
        ([shard(), shard(basis=-1)], [[0, 0, 1, 1]], "basis -1"),
        ([shard(), shard(basis=2), shard(basis=2)], [[0, 0, 1, 1]], "no shard has basis 1"),
    ],
)
def test_tables_that_do_not_fit(shards: list[Any], images: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.CellBank(shards, np.array(images, np.int64))


def test_arrays_that_are_no_shard() -> None:
    cells, norms, _ = shard()
    images = np.array([[0, 0, 3, 4]], np.int64)
    for wrong in (norms[:3], norms.astype(np.float64), norms[:, None], norms.astype(">f4")):
        with pytest.raises(ValueError, match="norms must"):
            _core.CellBank([(cells, wrong, 0)], images)
    for wrong, message in (
        (cells.reshape(3, 4, 3), r"\(n, K\)"),
        (np.zeros((12, 6), np.float32)[:, ::2], "contiguous"),
        (cells.astype(np.float64), r"float16, uint16 \(bfloat16\) or int8"),
        (cells.astype(">f4"), "byte order"),
        (np.zeros(cells.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(12, 3), "align"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.CellBank([(wrong, norms, 0)], images)
    for wrong in (images.astype(np.int32), images[0], images[:, :3], images.astype(float)):
        with pytest.raises(ValueError, match=r"int64 with the shape \(N, 4\)"):
            _core.CellBank([(cells, norms, 0)], wrong)


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
def test_what_a_bank_knows(dtype: str) -> None:
    bank = _core.CellBank([shard(dtype=dtype)], np.array([[0, 0, 3, 4], [0, 2, 1, 2]], np.int64))
    assert bank.images == 2
    assert bank.dtype == stored_dtype(dtype)


def test_a_bank_keeps_its_arrays_alive() -> None:
    case = random_case(12)
    bank = bank_of(list(case.bank), [cell_norms(image) for image in case.bank])
    again = [np.full((4 * 42, 11), np.nan, np.float32) for _ in range(8)]  # would take the memory
    field = _core.exhaustive_search(
        bank, [(case.query, cell_norms(case.query), None)], case.candidates, case.hyperpatch
    )
    assert all(np.isnan(each).all() for each in again)
    check_field(case, field)
