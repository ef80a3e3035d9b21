"""More matches asked for than there are: the missing ones are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compnn.errors import SearchError
from compnn.search.search import SCHEDULES, Auto, Exhaustive, HyperPatchMatch
from engine import cases, check_exact, check_field, search
from reference import Case, possible


@settings(deadline=None, max_examples=80)
@given(cases(mixed=True), st.integers(1, 40))
def test_an_exhaustive_search_finds_all_that_exist(case: Case, beyond: int) -> None:
    case = replace(case, matches=case.hyperpatches + beyond)
    field = search(case, num_threads=1)
    check_field(case, field)
    np.testing.assert_array_equal((field[0] >= 0).sum(axis=0), possible(case).sum(axis=-1))
    for array, none in zip(field, (-1, -1, -1, 0), strict=True):
        assert (array[case.hyperpatches :] == none).all()


@settings(deadline=None, max_examples=60)
@given(cases(mixed=True), st.integers(1, 40), st.sampled_from(SCHEDULES))
def test_hyperpatch_match_makes_none_up(case: Case, beyond: int, schedule: str) -> None:
    case = replace(case, matches=case.hyperpatches + beyond)
    field = search(case, "hyperpatch_match", num_threads=1, schedule=schedule, iterations=4)
    check_field(case, field)
    if possible(case).all():
        check_all = replace(case, matches=case.hyperpatches)
        check_exact(check_all, tuple(array[: case.hyperpatches] for array in field))  # type: ignore[arg-type]
    for array, none in zip(field, (-1, -1, -1, 0), strict=True):
        assert (array[case.hyperpatches :] == none).all()


@pytest.mark.parametrize("kind", [Auto, Exhaustive, HyperPatchMatch])
@pytest.mark.parametrize("matches", [0, -1])
def test_no_matches_cannot_be_asked_for(kind: type[Exhaustive], matches: int) -> None:
    with pytest.raises(SearchError, match=f"matches must be at least 1, not {matches}"):
        kind(matches)
