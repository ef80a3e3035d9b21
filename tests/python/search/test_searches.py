"""Ways of searching: what is refused, what is written and read, and how `Auto` decides."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn import _core
from compnn.errors import SearchError
from compnn.search.search import (
    METHODS,
    MOST_EFFORT,
    USUAL_EFFORT,
    Auto,
    Exhaustive,
    HyperPatchMatch,
    Search,
    search_from_json,
    search_json,
    search_of,
)
from engine import bank_of, check_same
from reference import cell_norms

COUNTS = st.integers(1, 2**31 - 1)
SEEDS = st.integers(0, 2**64 - 1)
SEARCHES = st.one_of(
    st.builds(Exhaustive, COUNTS),
    st.builds(Auto, COUNTS, SEEDS),
    st.builds(
        HyperPatchMatch,
        COUNTS,
        effort=st.none() | st.integers(1, MOST_EFFORT),
        iterations=st.none() | st.integers(0, 2**31 - 1),
        seed=SEEDS,
        stop_when_unchanged=st.booleans(),
    ),
    st.builds(
        HyperPatchMatch,
        COUNTS,
        st.just("paper"),
        iterations=st.none() | st.integers(0, 2**31 - 1),
        seed=SEEDS,
    ),
)


# Options


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (HyperPatchMatch, {"schedule": "slow"}, "no schedule 'slow'; choose one of fast, paper"),
        (HyperPatchMatch, {"effort": 0}, "effort must be 1 to 8, not 0"),
        (HyperPatchMatch, {"effort": 9}, "effort must be 1 to 8, not 9"),
        (HyperPatchMatch, {"effort": 4.0}, r"effort must be an int, not 4\.0"),
        (HyperPatchMatch, {"schedule": "paper", "effort": 4}, "effort is of the fast schedule"),
        (HyperPatchMatch, {"iterations": -1}, "iterations must be at least 0, not -1"),
        (HyperPatchMatch, {"iterations": 2**31}, f"iterations .* not {2**31}"),
        (HyperPatchMatch, {"stop_when_unchanged": 1}, "must be True or False, not 1"),
        *(
            (kind, *rest)
            for kind in (Exhaustive, HyperPatchMatch, Auto)
            for rest in (
                ({"matches": 0}, "matches must be at least 1, not 0"),
                ({"matches": 2**31}, f"matches .* not {2**31}"),
                ({"matches": "3"}, "matches must be an int, not '3'"),
                ({"matches": True}, "matches must be an int, not True"),
            )
        ),
        *(
            (kind, *rest)
            for kind in (HyperPatchMatch, Auto)
            for rest in (
                ({"seed": -1}, r"seed must be in \[0, 2\*\*64\), not -1"),
                ({"seed": 2**64}, f"seed .* not {2**64}"),
                ({"seed": 0.5}, r"seed must be an int, not 0\.5"),
            )
        ),
    ],
)
def test_options_out_of_range(kind: type[Search], options: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchError, match=message):
        kind(**options)


def test_options_at_the_ends_of_their_ranges() -> None:
    most = 2**31 - 1
    Exhaustive(most)
    Auto(most, seed=2**64 - 1)
    HyperPatchMatch(most, iterations=0, seed=2**64 - 1)
    HyperPatchMatch(most, "paper", iterations=most)


def test_effort_is_of_the_fast_schedule() -> None:
    assert HyperPatchMatch().effort == USUAL_EFFORT
    assert HyperPatchMatch() == HyperPatchMatch(effort=USUAL_EFFORT)
    assert HyperPatchMatch(schedule="paper").effort is None


@given(SEARCHES)
def test_searches_are_values(search: Search) -> None:
    assert (
        hash(search)
        == hash(dataclasses.replace(search))
        == hash(pickle.loads(pickle.dumps(search)))
    )
    for field in dataclasses.fields(search):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(search, field.name, 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_by_the_name_of_its_method(method: str) -> None:
    search = search_of(method, matches=3, seed=None, schedule=None, effort=None, iterations=None)
    assert search.method == method
    assert search.matches == 3


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("patch-match", {}, "no method 'patch-match'; choose one of auto, exhaustive, hyperpatch"),
        ("exhaustive", {"effort": 2}, "effort is no option of the method 'exhaustive', which has"),
        ("exhaustive", {"seed": 0}, "seed is no option of the method 'exhaustive'"),
        ("auto", {"effort": 2}, "effort is no option of the method 'auto'.*matches, seed"),
        ("auto", {"stop_when_unchanged": True}, "stop when unchanged is no option"),
        ("hyperpatch-match", {"depth": 1}, "depth is no option of the method 'hyperpatch-match'"),
        ("hyperpatch-match", {"effort": 99}, "effort must be 1 to 8, not 99"),
    ],
)
def test_no_option_is_ignored(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchError, match=message):
        search_of(method, **options)


# Texts and documents


@pytest.mark.parametrize(
    ("search", "text"),
    [
        (Exhaustive(), "exhaustive"),
        (Exhaustive(4), "exhaustive, 4 matches"),
        (Auto(), "auto, seed 0"),
        (HyperPatchMatch(), "hyperpatch-match, effort 4, seed 0"),
        (
            HyperPatchMatch(2, "paper", iterations=9, seed=5),
            "hyperpatch-match, the paper's schedule, 9 rounds, seed 5, 2 matches",
        ),
    ],
)
def test_how_searches_read(search: Search, text: str) -> None:
    assert str(search) == text


@given(SEARCHES, SEARCHES)
def test_other_searches_read_otherwise(one: Search, other: Search) -> None:
    assert (str(one) == str(other)) == (one == other)


@given(SEARCHES)
def test_searches_come_back_from_json(search: Search) -> None:
    assert search_from_json(json.loads(json.dumps(search_json(search)))) == search


@given(SEARCHES, st.data())
def test_damaged_documents_of_searches(search: Search, data: st.DataObject) -> None:
    document = json.loads(json.dumps(search_json(search)))
    key = data.draw(st.sampled_from(sorted(document)))
    wrong = data.draw(
        st.sampled_from([[], {}, "x", math.nan, math.inf, 0.5, -1, True, {"seed": 0}])
    )
    missing = {name: value for name, value in document.items() if name != key}
    for damaged in (missing, {**document, "more": 1}, [document], None, "auto"):
        with pytest.raises(SearchError):
            search_from_json(damaged)
    if not (key == "stop_when_unchanged" and wrong is True):
        with pytest.raises(SearchError):
            search_from_json({**document, key: wrong})


# Auto


@given(st.integers(0, 2**50), st.integers(1, 2**12), COUNTS, SEEDS)
def test_auto_decides_by_the_size_of_the_search(
    pairs: int, channels: int, matches: int, seed: int
) -> None:
    chosen = Auto(matches, seed).resolved(pairs, channels)
    if isinstance(chosen, Exhaustive):
        assert chosen == Exhaustive(matches)
        # A smaller search is exact, too.
        for smaller in ((pairs // 2, channels), (pairs, max(1, channels // 2))):
            assert isinstance(Auto(matches).resolved(*smaller), Exhaustive)
        assert isinstance(Auto(min(matches + 1, 2**31 - 1)).resolved(pairs, channels), Exhaustive)
    else:
        assert chosen == HyperPatchMatch(matches, seed=seed)
        for larger in ((2 * pairs, channels), (pairs, 2 * channels)):
            assert isinstance(Auto(matches).resolved(*larger), HyperPatchMatch)
    # By the product of pairs and channels alone.
    assert chosen == Auto(matches, seed).resolved(pairs * channels, 1)
    assert chosen == Auto(matches, seed).resolved(1, pairs * channels)


def test_auto_is_exact_for_few_and_not_for_many() -> None:
    """Layers of Pix2Pix among 16 images: decoder_4 exact, decoder_3 approximate."""
    assert Auto().resolved(31**2 * 16 * 31**2, 256) == Exhaustive()
    assert Auto(seed=3).resolved(63**2 * 16 * 63**2, 128) == HyperPatchMatch(seed=3)


@given(st.integers(0, 2**50), st.integers(1, 2**12))
def test_the_others_are_what_they_are(pairs: int, channels: int) -> None:
    for search in (Exhaustive(2), HyperPatchMatch(2, effort=1, seed=9)):
        assert search.resolved(pairs, channels) is search


# Running


def random_cells(seed: int, *shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def bank() -> _core.CellBank:
    images = [random_cells(seed, 4, 4, 5) for seed in range(3)]
    return bank_of(images, [cell_norms(image) for image in images])


def queries(seed: int = 9) -> list[_core.Query]:
    cells = random_cells(seed, 4, 4, 5)
    return [(cells, cell_norms(cells), None)]


@pytest.mark.parametrize("kind", [Exhaustive, HyperPatchMatch])
@pytest.mark.parametrize(
    ("candidates", "hyperpatch"),
    [([], (2, 2)), ([3], (2, 2)), ([-1], (2, 2)), ([0], (5, 2)), ([0], (0, 2))],
    ids=["no candidates", "image 3 of 3", "image -1", "too large", "empty"],
)
def test_what_the_bank_cannot_answer(
    bank: _core.CellBank,
    kind: type[Exhaustive | HyperPatchMatch],
    candidates: list[int],
    hyperpatch: tuple[int, int],
) -> None:
    with pytest.raises(SearchError):
        kind().run(bank, queries(), np.array(candidates, np.int32), hyperpatch)


def arrays(field: Any) -> tuple[Any, ...]:
    return field.image, field.row, field.col, field.similarity


def test_each_option_reaches_the_engine(bank: _core.CellBank) -> None:
    given: _core.CellBank = bank
    request = given, queries(), np.array([0, 2], np.int32), (2, 2)
    exact = Exhaustive(3).run(*request, num_threads=1)
    check_same(arrays(exact), _core.exhaustive_search(*request, matches=3, num_threads=1))
    assert exact.matches == 3
    assert exact.grid == (3, 3)
    assert set(np.unique(exact.image)) <= {0, 2}
    usual = {"matches": 2, "iterations": 0}
    fields = []
    for options in (
        usual,
        {**usual, "seed": 7, "effort": 1},
        {**usual, "seed": 7, "schedule": "paper"},
        {**usual, "seed": 8, "schedule": "paper"},
        {**usual, "seed": 8, "schedule": "paper", "iterations": 3},
        {**usual, "schedule": "paper", "iterations": 10**5, "stop_when_unchanged": True},
    ):
        found = arrays(HyperPatchMatch(**options).run(*request))  # type: ignore[arg-type]
        check_same(found, _core.hyperpatch_match(*request, **options))  # type: ignore[arg-type]
        fields.append(np.concatenate(found[:3]).tobytes())
    assert len(set(fields[2:5])) == 3


@pytest.mark.parametrize("search", [Exhaustive(), HyperPatchMatch(iterations=2**31 - 1)])
def test_what_progress_raises_comes_out_as_it_is(search: Exhaustive | HyperPatchMatch) -> None:
    """Also an error of the kind that the engine refuses arguments with."""
    images = [random_cells(seed, 60, 60, 64) for seed in range(20)]
    query = random_cells(99, 200, 200, 64)
    bank = bank_of(images, [cell_norms(image) for image in images])

    def stop(share: float) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        search.run(
            bank,
            [(query, cell_norms(query), None)],
            np.arange(20, dtype=np.int32),
            (2, 2),
            progress=stop,
        )
