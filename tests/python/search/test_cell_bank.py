"""Banks of shards, sizes and bases as `compnn._core` takes them, against plain NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn import _core
from compnn.bank.layout import ACTIVATION_DTYPES, stored_dtype
from reference import Floats, as_kept, cell_norms, hyperpatches, stored, stored_norms

SIZES = ((5, 7), (1, 1), (2, 9), (6, 2), (8, 8), (1, 30), (3, 3))
CANDIDATES = np.array([0, 1, 2, 4, 5, 6], np.int32)


def images(sizes: Sequence[tuple[int, int]], depth: int, seed: int) -> list[Floats]:
    """Random cells (H, W, K) of each size."""
    random = np.random.default_rng(seed)
    return [random.standard_normal((*size, depth)) for size in sizes]


def shard_of(cells: Sequence[Floats], dtype: str, basis: int = 0) -> tuple[Any, Any, int]:
    """The cells of images as a shard of that dtype."""
    together = np.concatenate([each.reshape(-1, each.shape[2]) for each in cells])
    return stored(together, dtype), stored_norms(together, dtype), basis


def table(shards: Sequence[Sequence[Floats]]) -> np.ndarray:
    """Where the images of each shard are."""
    rows = []
    for number, cells in enumerate(shards):
        first = 0
        for each in cells:
            rows.append((number, first, *each.shape[:2]))
            first += each.shape[0] * each.shape[1]
    return np.array(rows, np.int64)


def query_of(cells: Floats, dtype: str, share: Any = None) -> tuple[Any, Any, Any]:
    """A query as the engine is given it."""
    return stored(cells, dtype), stored_norms(cells, dtype), share


def best(query: Floats, bank: dict[int, Floats], share: Any = 1.0) -> dict[Any, np.ndarray]:
    """Cosines (gh, gw), times `share`, with the 2x2 hyperpatches at each (image, row, col)."""
    of_query, found = hyperpatches(query, (2, 2)), {}
    for image, cells in bank.items():
        if min(cells.shape[:2]) < 2:
            continue
        of_image = hyperpatches(cells, (2, 2))
        for row, col in np.ndindex(*of_image.shape[:2]):
            found[image, row, col] = of_query @ of_image[row, col] * share
    return found


def check(field: tuple[np.ndarray, ...], expected: dict[Any, np.ndarray], matches: int) -> None:
    """The similarities are the largest ones, and those of the places."""
    ranked = -np.sort(-np.stack(list(expected.values())), axis=0)
    np.testing.assert_allclose(field[3], ranked[:matches], atol=1e-5)
    for position in np.ndindex(*field[3].shape):
        image, row, col = (int(of[position]) for of in field[:3])
        similarity = expected[image, row, col][position[1:]]
        np.testing.assert_allclose(field[3][position], similarity, atol=1e-5)


@pytest.mark.parametrize("dtype", ACTIVATION_DTYPES)
def test_images_of_many_sizes_equal_brute_force(dtype: str) -> None:
    cells, query = images(SIZES, 11, 1), images([(5, 6)], 11, 2)[0]
    bank = _core.CellBank([shard_of(cells, dtype)], table([cells]))
    assert bank.images == len(SIZES)
    assert bank.dtype == stored_dtype(dtype)
    field = _core.exhaustive_search(
        bank, [query_of(query, dtype)], CANDIDATES, (2, 2), matches=3, num_threads=2
    )
    kept = {int(image): as_kept(cells[image], dtype) for image in CANDIDATES}
    check(field, best(as_kept(query, dtype), kept), 3)


def test_shards_do_not_matter() -> None:
    cells, query = images(SIZES, 11, 3), images([(5, 6)], 11, 4)[0]
    cuts = [cells[:2], cells[2:3], cells[3:]]
    one = _core.CellBank([shard_of(cells, "float16")], table([cells]))
    three = _core.CellBank([shard_of(cut, "float16") for cut in cuts], table(cuts))
    for search in (_core.exhaustive_search, _core.hyperpatch_match):
        fields = [
            search(bank, [query_of(query, "float16")], CANDIDATES, (2, 2), matches=3)
            for bank in (one, three)
        ]
        for a, b in zip(*fields, strict=True):
            np.testing.assert_array_equal(a, b)


def test_several_bases_equal_brute_force() -> None:
    """Each query is compared with the shards of its basis, and similarities are scaled."""
    cells = [images(SIZES[:4], 11, 5), images(SIZES[4:], 7, 6)]
    queries = [images([(5, 6)], depth, 7)[0] for depth in (11, 7)]
    share = np.random.default_rng(8).uniform(size=(4, 5)).astype(np.float32)
    bank = _core.CellBank(
        [shard_of(cells[0], "float32", 0), shard_of(cells[1], "float32", 1)], table(cells)
    )
    field = _core.exhaustive_search(
        bank,
        [query_of(queries[0], "float32"), query_of(queries[1], "float32", share)],
        CANDIDATES,
        (2, 2),
        matches=4,
    )
    every = dict(enumerate([*cells[0], *cells[1]]))
    first = {image: every[image] for image in (0, 1, 2)}
    second = {image: every[image] for image in (4, 5, 6)}
    check(field, {**best(queries[0], first), **best(queries[1], second, share)}, 4)


def test_share_scales_the_similarities_of_a_search() -> None:
    cells, query = images(SIZES, 11, 9), images([(5, 6)], 11, 10)[0]
    bank = _core.CellBank([shard_of(cells, "float16")], table([cells]))
    share = np.random.default_rng(11).uniform(size=(4, 5)).astype(np.float32)
    for search in (_core.exhaustive_search, _core.hyperpatch_match):
        plain = search(bank, [query_of(query, "float16")], CANDIDATES, (2, 2), matches=2)
        scaled = search(bank, [query_of(query, "float16", share)], CANDIDATES, (2, 2), matches=2)
        np.testing.assert_array_equal(scaled[3], plain[3] * share)
        for a, b in zip(scaled[:3], plain[:3], strict=True):
            np.testing.assert_array_equal(a, b)


def test_mapped_files_equal_arrays(tmp_path: Path) -> None:
    cells, query = images(SIZES, 11, 12), images([(5, 6)], 11, 13)[0]
    numbers, norms, basis = shard_of(cells, "float16")
    np.save(tmp_path / "cells.npy", numbers)
    np.save(tmp_path / "norms.npy", norms)
    mapped = [np.load(tmp_path / name, mmap_mode="r") for name in ("cells.npy", "norms.npy")]
    banks = [
        _core.CellBank([(numbers, norms, basis)], table([cells])),
        _core.CellBank([(mapped[0], mapped[1], basis)], table([cells])),
    ]
    fields = [
        _core.exhaustive_search(bank, [query_of(query, "float16")], CANDIDATES, (2, 2))
        for bank in banks
    ]
    for a, b in zip(*fields, strict=True):
        np.testing.assert_array_equal(a, b)


def test_bank_keeps_its_arrays_alive() -> None:
    cells, query = images(SIZES, 11, 14), images([(5, 6)], 11, 15)[0]
    bank = _core.CellBank([shard_of(cells, "float32")], table([cells]))
    again = np.empty((sum(h * w for h, w in SIZES), 11), np.float32)  # would take the memory
    again[:] = np.nan
    field = _core.exhaustive_search(bank, [query_of(query, "float32")], CANDIDATES, (2, 2))
    kept = {int(image): as_kept(cells[image], "float32") for image in CANDIDATES}
    check(field, best(query.astype(np.float32), kept), 1)


def test_wrong_shards_are_refused() -> None:
    cells = np.ones((12, 3), np.float32)
    norms = cell_norms(cells)
    shifted = np.zeros(cells.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(12, 3)
    wrong: list[tuple[Any, str]] = [
        ([], "at least one shard"),
        ([(cells[None], norms, 0)], r"\(n, K\)"),
        ([(cells.astype(np.float64), norms, 0)], r"float16, uint16 \(bfloat16\) or int8"),
        ([(cells.astype(">f4"), norms, 0)], "byte order"),
        ([(np.ones((3, 12), np.float32).T, norms, 0)], "contiguous"),
        ([(shifted, norms, 0)], "align"),
        ([(cells, norms[:3], 0)], "norms must"),
        ([(cells, norms.astype(np.float64), 0)], "norms must"),
        ([(cells, norms[..., None], 0)], "norms must"),
        ([(cells, norms.astype(">f4"), 0)], "norms must"),
        ([(cells, norms, 1)], "basis 1"),
        ([(cells, norms, -1)], "basis -1"),
        ([(cells, norms, 0), (cells[:, :2].copy(), norms, 0)], "2 channels, another one"),
        ([(cells, norms, 0), (cells.astype(np.float16), norms, 0)], "another type"),
    ]
    for shards, message in wrong:
        with pytest.raises(ValueError, match=message):
            _core.CellBank(shards, np.zeros((0, 4), np.int64))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((1, 0, 3, 4), "image 1 is in shard 1 of 1"),
        ((-1, 0, 3, 4), "image 1 is in shard -1"),
        ((0, 1, 3, 4), "image 1 has 3x4 cells from cell 1 on, but shard 0 has 12 cells"),
        ((0, -1, 3, 4), "from cell -1"),
        ((0, 0, 0, 4), "image 1 has 0x4 cells"),
        ((0, 0, 2**31, 2**33), "image 1 has"),
        ((0, 2**63 - 1, 2**31 - 1, 2**31 - 1), "image 1 has"),
        ((2**63 - 1, 0, 3, 4), "image 1 is in shard"),
    ],
)
def test_wrong_tables_are_refused(place: tuple[int, ...], message: str) -> None:
    cells = np.ones((12, 3), np.float32)
    images = np.array([(0, 0, 3, 4), place], np.int64)
    with pytest.raises(ValueError, match=message):
        _core.CellBank([(cells, cell_norms(cells), 0)], images)


def test_tables_of_another_type_are_refused() -> None:
    cells = np.ones((12, 3), np.float32)
    images = np.array([(0, 0, 3, 4)], np.int64)
    for wrong in (images.astype(np.int32), images[:, :3].copy(), images[0], images.astype(float)):
        with pytest.raises(ValueError, match="images must be int64"):
            _core.CellBank([(cells, cell_norms(cells), 0)], wrong)
    with pytest.raises(ValueError, match="contiguous"):
        _core.CellBank([(cells, cell_norms(cells), 0)], np.zeros((4, 2), np.int64).T)


def test_wrong_queries_are_refused() -> None:
    cells = [images([(4, 4)], 11, 16), images([(3, 4)], 7, 17)]
    bank = _core.CellBank(
        [shard_of(cells[0], "float32", 0), shard_of(cells[1], "float32", 1)], table(cells)
    )
    deep, flat = (query_of(images([(4, 5)], depth, 18)[0], "float32") for depth in (11, 7))
    share = np.ones((3, 4), np.float32)
    wrong: list[tuple[list[Any], str]] = [
        ([], "the bank's cells are in 2 bases, the query's in 0"),
        ([deep], "the bank's cells are in 2 bases, the query's in 1"),
        ([flat, flat], "7 channels, the bank's 11"),
        ([deep, query_of(images([(4, 4)], 7, 19)[0], "float32")], "4x5 cells in basis 0, 4x4"),
        ([deep, (*flat[:2], share[1:])], "share must"),
        ([deep, (*flat[:2], share.astype(np.float64))], "share must"),
        ([deep, (*flat[:2], share.repeat(2, axis=0)[::2])], "contiguous"),
        ([deep, (*flat[:2], 1.5 * share)], r"share must be in \[0, 1\]"),
        ([deep, (*flat[:2], np.nan * share)], r"share must be in \[0, 1\]"),
    ]
    candidates = np.array([0, 1], np.int32)
    for search in (_core.exhaustive_search, _core.hyperpatch_match):
        for queries, message in wrong:
            with pytest.raises(ValueError, match=message):
                search(bank, queries, candidates, (2, 2))
        image, _, _, similarity = search(bank, [deep, flat], candidates, (2, 2), matches=16)
        assert image.shape == (16, 3, 4)
        assert (image[:15] >= 0).all()
        assert (image[15] == -1).all()
        assert not similarity[15].any()
        with pytest.raises(ValueError, match="4x5 cells fits none of the candidates"):
            search(bank, [deep, flat], candidates, (4, 5))
