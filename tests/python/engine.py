"""The engine asked about cases of `reference`: what it is given, and what holds of its answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from compnn import _core
from compnn.bank.layout import ACTIVATION_DTYPES
from reference import (
    Case,
    Floats,
    cell_norms,
    kept_as,
    place_index,
    possible,
    similarities,
    stored,
    with_matches,
)

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-5

SEARCHES = {
    "exhaustive": _core.exhaustive_search,
    "hyperpatch_match": _core.hyperpatch_match,
}

Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float32]]


def search(case: Case, kind: str = "exhaustive", **options: Any) -> Arrays:
    """(image, row, col, similarity), each (K, rows, cols)."""
    return SEARCHES[kind](
        bank_of([numbers(case, image) for image in case.bank], [cell_norms(i) for i in case.bank]),
        [(numbers(case, case.query), cell_norms(case.query), None)],
        case.candidates,
        case.hyperpatch,
        matches=case.matches,
        **options,
    )


def numbers(case: Case, cells: Floats) -> npt.NDArray[Any]:
    """Cells of a case as the engine is given them."""
    return cells if case.stored_as is None else stored(cells, case.stored_as)


def bank_of(
    cells: Sequence[npt.NDArray[Any]],
    norms: Sequence[npt.NDArray[np.float32]],
    shards: Sequence[int] | None = None,
    bases: Sequence[int] = (0,),
) -> _core.CellBank:
    """The engine's bank of images: cells (h, w, K) and norms (h, w) of each.

    `shards` says in which shard each image is (default: all in one), `bases` of which basis each
    shard is.
    """
    places = [0] * len(cells) if shards is None else shards
    arrays = []
    for shard, basis in enumerate(bases):
        here = [image for image, place in enumerate(places) if place == shard]
        depth = cells[here[0]].shape[-1]
        arrays.append(
            (
                np.concatenate([cells[image].reshape(-1, depth) for image in here]),
                np.concatenate([norms[image].reshape(-1) for image in here]),
                basis,
            )
        )
    first = [0] * len(bases)
    table = np.zeros((len(cells), 4), np.int64)
    for image, shard in enumerate(places):
        rows, cols = cells[image].shape[:2]
        table[image] = shard, first[shard], rows, cols
        first[shard] += rows * cols
    return _core.CellBank(arrays, table)


@st.composite
def cases(draw: st.DrawFn, *, mixed: bool = False) -> Case:
    """Small cases of every kind: all dtypes, norms from 1e-12 to 1e12, zeros, copies, subsets.

    Those that are `mixed` have images of many sizes, some too small for a hyperpatch.
    """
    h, w = draw(st.integers(1, 3)), draw(st.integers(1, 3))

    def size() -> tuple[int, int]:
        return h + draw(st.integers(0, 5)), w + draw(st.integers(0, 6))

    def small() -> tuple[int, int]:
        return draw(st.integers(1, h + 3)), draw(st.integers(1, w + 4))

    count, depth = draw(st.integers(1, 5)), draw(st.integers(1, 40))
    dtype = draw(st.sampled_from(ACTIVATION_DTYPES))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    few = generator.standard_normal((2, depth)) if draw(st.booleans()) else None
    sizes = [size()] * count
    if mixed:
        sizes = [size(), *(small() for _ in range(count - 1))]
        generator.shuffle(sizes)

    def cells(shape: tuple[int, int]) -> npt.NDArray[np.float64]:
        # Few different cells, so that duplicates abound.
        if few is not None:
            return few[generator.integers(0, 2, shape)]
        return generator.standard_normal((*shape, depth))

    query, bank = cells(size()), [cells(each) for each in sizes]
    if dtype != "float16" and draw(st.booleans()):  # wide range of norms
        bank = [image * 10.0 ** generator.integers(-12, 13) for image in bank]
        query *= 10.0 ** draw(st.integers(-12, 12))
    if draw(st.booleans()):  # cells of zeros, as after ReLU
        for image in (query, *bank):
            image[generator.random(image.shape[:2]) < 0.4] = 0
    chosen = np.sort(generator.permutation(count)[: draw(st.integers(1, count))])
    case = Case(query, bank if mixed else np.stack(bank), (h, w), chosen.astype(np.int32))
    if case.hyperpatches == 0:  # a candidate that holds some
        whole = next(i for i, each in enumerate(sizes) if each[0] >= h and each[1] >= w)
        case = Case(case.query, case.bank, (h, w), np.array([whole], np.int32))
    return with_matches(kept_as(case, dtype), draw(st.integers(1, 5)))


def check_field(case: Case, field: Arrays) -> None:
    """What holds for any search: distinct, sorted places that truly have their similarity.

    No match is one of zeros; where there is none, nothing but that is said, and it comes last.
    """
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
    found = image >= 0
    for array, none in ((image, -1), (row, -1), (col, -1), (similarity, 0)):
        assert (array[~found] == none).all()
    assert not (found[1:] & ~found[:-1]).any()
    places = np.full(shape, -1, np.int64)
    places[found] = place_index(case, image[found], row[found], col[found])
    for first in range(case.matches):  # each place once
        assert ((places[first] != places[first + 1 :]) | ~found[first + 1 :]).all()
    assert (np.diff(np.where(found, similarity, -2), axis=0) <= 0).all()
    _, *position = np.nonzero(found)
    at = (*position, places[found])
    assert possible(case)[at].all()
    np.testing.assert_allclose(similarity[found], truth[at], atol=TOLERANCE, rtol=0)


def check_exact(case: Case, field: Arrays) -> None:
    """What holds for an exhaustive search, too: there is nothing more similar."""
    check_field(case, field)
    truth = np.where(possible(case), similarities(case), -np.inf)
    best = np.moveaxis(-np.sort(-truth, axis=-1)[..., : case.matches], -1, 0)
    exists = np.isfinite(best)
    np.testing.assert_array_equal(field[0] >= 0, exists)
    np.testing.assert_allclose(field[3][exists], best[exists], atol=TOLERANCE, rtol=0)


def check_same(first: Arrays, second: Arrays) -> None:
    """Two fields are the same, bit for bit."""
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def environment(**more: str) -> dict[str, str]:
    """The environment in which a subprocess imports what this process imports."""
    package = str(Path(_core.__file__ or "").resolve().parents[1])
    paths = [str(HERE), package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}
