"""Searches that make no sense are refused with what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compnn import _core
from compnn.errors import SearchError
from compnn.search.search import METHODS, Search, bank_of


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "patch-match"}, "no method 'patch-match'; choose .*hyperpatch-match, exhaust"),
        ({"schedule": "slow"}, "no schedule 'slow'; choose one of fast, paper"),
        ({"effort": 0}, "effort must be 1 to 8, not 0"),
        ({"effort": 9}, "effort must be 1 to 8, not 9"),
        ({"matches": 0}, "matches must be at least 1, not 0"),
        ({"matches": 2**31}, f"matches .* not {2**31}"),
        ({"iterations": -1}, "iterations must be at least 0, not -1"),
        ({"iterations": 2**31}, f"iterations .* not {2**31}"),
        ({"seed": -1}, r"seed must be in \[0, 2\*\*64\), not -1"),
        ({"seed": 2**64}, f"seed .* not {2**64}"),
        ({"num_threads": 0}, "num_threads must be positive, or -1 for all CPUs, not 0"),
        ({"num_threads": -2}, "num_threads .* not -2"),
        ({"num_threads": 5000}, "num_threads .* not 5000"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchError, match=message):
        Search(**options)


def test_options_at_the_ends_of_their_ranges() -> None:
    for method in METHODS:
        Search(method, matches=2**31 - 1, iterations=0, seed=2**64 - 1, num_threads=-1)


@pytest.fixture(scope="module")
def bank() -> _core.CellBank:
    random = np.random.default_rng(0)
    cells = random.standard_normal((3, 4, 4, 5)).astype(np.float32)
    return bank_of(cells, np.linalg.norm(cells, axis=3))


def query() -> tuple[np.ndarray, np.ndarray]:
    cells = np.random.default_rng(1).standard_normal((4, 4, 5)).astype(np.float32)
    return cells, np.linalg.norm(cells, axis=2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("candidates", "hyperpatch", "matches"),
    [
        ([], (2, 2), 1),
        ([3], (2, 2), 1),
        ([-1], (2, 2), 1),
        ([0], (5, 2), 1),
        ([0], (0, 2), 1),
        ([0, 1], (2, 2), 19),
    ],
    ids=["no candidates", "image 3 of 3", "image -1", "too large", "empty", "too many matches"],
)
def test_what_the_bank_cannot_answer(
    bank: _core.CellBank,
    method: Any,
    candidates: list[int],
    hyperpatch: tuple[int, int],
    matches: int,
) -> None:
    with pytest.raises(SearchError):
        Search(method, matches=matches).field(bank, *query(), candidates, hyperpatch)


@pytest.mark.parametrize("method", METHODS)
def test_candidates_may_repeat_and_come_in_any_order(bank: _core.CellBank, method: Any) -> None:
    search = Search(method, matches=18, iterations=8)
    field = search.field(bank, *query(), [2, 0, 2], (2, 2))
    again = search.field(bank, *query(), [0, 2], (2, 2))
    assert set(np.unique(field.image)) == {0, 2}
    np.testing.assert_array_equal(field.image, again.image)
    assert field.matches == 18
    assert field.grid == (3, 3)
