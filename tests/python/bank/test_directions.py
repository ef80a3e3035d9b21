"""Directions that cells are kept along: how they are found, and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn import _core
from compnn.bank.directions import (
    SAMPLED_IMAGES,
    TOLERANCE,
    digest,
    find_directions,
    fits,
    kept_share,
    read_directions,
    sampled_cells,
    sampled_images,
    write_directions,
)
from compnn.errors import BankError

Floats = npt.NDArray[np.float32]
REDUCED = ("float16", "bfloat16", "int8")


def cells_of_rank(rank: int, channels: int, count: int, seed: int = 0) -> Floats:
    """Cells (n, D) that lie in `rank` directions, each as long as any other."""
    random = np.random.default_rng(seed)
    directions = np.linalg.qr(random.standard_normal((channels, channels)))[0][:rank]
    return (random.standard_normal((count, rank)) @ directions).astype(np.float32)


def lengths_of_moments(cells: Floats) -> npt.NDArray[np.float64]:
    """Shares of the squared length along the principal directions of unit cells, descending."""
    wide = cells.astype(np.float64)
    units = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    lengths = np.linalg.eigvalsh(units.T @ units)[::-1]
    return np.maximum(lengths, 0) / lengths.sum()


# The sample


@given(st.integers(1, 10_000))
def test_sampled_images_are_evenly_spread(count: int) -> None:
    indices = sampled_images(count)
    assert len(indices) == min(count, SAMPLED_IMAGES) == len(set(indices))
    assert indices[0] == 0
    gaps = np.diff([*indices, count])
    assert gaps.max() - gaps.min() <= 1


def test_sampled_cells() -> None:
    few = np.random.default_rng(0).standard_normal((3, 64, 64)).astype(np.float32)
    np.testing.assert_array_equal(sampled_cells(few), few.reshape(3, -1).T)
    # More than 4096: every so many, and all at the edges.
    many = np.random.default_rng(1).standard_normal((3, 100, 90)).astype(np.float32)
    found = sampled_cells(many)
    chosen = [
        many[:, row, col]
        for row in range(100)
        for col in range(90)
        if (row * 90 + col) % 3 == 0 or row in (0, 99) or col in (0, 89)
    ]
    np.testing.assert_array_equal(found, chosen)
    assert found.flags.c_contiguous


# Finding them


@pytest.mark.parametrize(("rank", "kept"), [(1, 16), (16, 16), (17, 32), (30, 32)])
def test_cells_lie_in_their_directions(rank: int, kept: int) -> None:
    cells = cells_of_rank(rank, 48, 500)
    directions = _core.main_directions(cells, missing=1e-7, step=16)
    assert directions.shape == (kept, 48)
    assert directions.dtype == np.float32
    np.testing.assert_allclose(directions @ directions.T, np.eye(kept), atol=1e-6)
    np.testing.assert_allclose(cells @ directions.T @ directions, cells, atol=1e-4)


@pytest.mark.parametrize("missing", [1e-2, 1e-4, 1e-6])
def test_as_few_directions_as_the_missing_share_allows(missing: float) -> None:
    """The principal directions by NumPy; with a step of 1 none too many."""
    random = np.random.default_rng(2)
    cells = (random.standard_normal((2000, 40)) * 0.6 ** np.arange(40)).astype(np.float32)
    directions = _core.main_directions(cells, missing=missing, step=1)
    kept, lengths = len(directions), lengths_of_moments(cells)
    assert 0 < kept < 40
    assert lengths[kept:].sum() <= missing < lengths[kept - 1 :].sum()
    wide = cells.astype(np.float64)
    units = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    along = np.square(units @ directions.T.astype(np.float64)).sum() / len(units)
    assert 1 - along == pytest.approx(lengths[kept:].sum(), abs=1e-7)
    stepped = _core.main_directions(cells, missing=missing, step=8)
    assert len(stepped) == -(-kept // 8) * 8


def test_long_cells_count_no_more_than_short_ones() -> None:
    cells = cells_of_rank(20, 40, 600)
    lengths = 10.0 ** np.random.default_rng(3).integers(-8, 9, (600, 1))
    scaled = (cells * lengths).astype(np.float32)
    scaled[::7] = 0  # cells of zeros do not count
    directions = _core.main_directions(scaled, missing=1e-6, step=1)
    assert len(directions) == 20
    np.testing.assert_allclose(cells @ directions.T @ directions, cells, atol=1e-4)


def test_none_are_left_out_of_cells_that_need_all() -> None:
    full = np.random.default_rng(4).standard_normal((500, 32)).astype(np.float32)
    nan = cells_of_rank(3, 32, 500)
    nan[7, 7] = np.nan
    zeros = np.zeros((500, 32), np.float32)
    for cells in (full, nan, zeros, cells_of_rank(17, 32, 500), full[:0]):
        assert _core.main_directions(cells, missing=1e-7, step=16).shape == (0, 32)


def test_wrong_arguments_of_main_directions() -> None:
    cells = np.ones((4, 3), np.float32)
    for wrong, missing, step in (
        (cells.astype(np.float64), 0.1, 1),
        (cells[0], 0.1, 1),
        (cells.T, 0.1, 1),
        (cells, -0.1, 1),
        (cells, 1.0, 1),
        (cells, np.nan, 1),
        (cells, 0.1, 0),
    ):
        with pytest.raises(ValueError, match="must"):
            _core.main_directions(wrong, missing=missing, step=step)


@pytest.mark.parametrize("dtype", REDUCED)
@pytest.mark.parametrize(
    ("rank", "channels", "kept"),
    [
        (3, 48, 16),
        (16, 48, 16),
        (17, 48, 32),
        (33, 48, None),  # 48 of 48
        (3, 16, None),  # 16 of 16
        (3, 18, None),  # 16 are more than 7 of 8 of 18
        (3, 19, 16),
        (112, 128, 112),  # just an eighth is saved
        (113, 128, None),
    ],
)
def test_directions_are_kept_where_they_save_an_eighth(
    dtype: str, rank: int, channels: int, kept: int | None
) -> None:
    samples = [cells_of_rank(rank, channels, 8 * channels, seed=0)] * 2
    found = find_directions(samples, dtype)
    assert (None if found is None else found.shape) == (None if kept is None else (kept, channels))


def test_too_few_cells_tell_no_directions() -> None:
    cells = cells_of_rank(3, 48, 16 * 48)
    assert find_directions([cells[:700], cells[700:-1]], "float16") is None
    assert find_directions([cells[:700], cells[700:]], "float16") is not None
    assert find_directions([cells], "float32") is None


def test_coarser_dtypes_need_fewer_directions() -> None:
    random = np.random.default_rng(5)
    cells = (random.standard_normal((4000, 128)) * 0.93 ** np.arange(128)).astype(np.float32)
    lengths = lengths_of_moments(cells)
    counts = []
    for dtype in REDUCED:
        found = find_directions([cells], dtype)
        assert found is not None
        assert lengths[len(found) :].sum() <= TOLERANCE[dtype]
        assert lengths[len(found) - 16 :].sum() > TOLERANCE[dtype]
        counts.append(len(found))
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) > 1


# What is outside of them


@pytest.mark.parametrize("dtype", REDUCED)
def test_cells_fit_that_lose_little(dtype: str) -> None:
    """One cell may lose a thousand times what all together may."""
    norms = np.full((5, 6), 3, np.float32)
    lost = np.zeros((5, 6), np.float32)
    assert fits(lost, norms, dtype)
    for times, expected in ((990, True), (1010, False)):
        share = times * TOLERANCE[dtype]
        lost[2, 3] = 9 * share / (1 - share)
        assert fits(lost, norms, dtype) == expected


def test_cells_that_are_rounding_of_the_network_fit() -> None:
    norms = np.ones((5, 6), np.float32)
    lost = np.zeros((5, 6), np.float32)
    norms[1, 1], lost[1, 1] = 1e-6, 1e-11  # most of a cell that is nothing beside the others
    assert fits(lost, norms, "float16")
    norms[1, 1], lost[1, 1] = 1e-2, 1e-4  # half of a cell that is something
    assert not fits(lost, norms, "float16")
    nothing = np.zeros((5, 6), np.float32)
    assert fits(nothing, nothing, "float16")


@pytest.mark.parametrize("hyperpatch", [(1, 1), (2, 3), (5, 6)])
def test_kept_share_is_that_of_the_norm(hyperpatch: tuple[int, int]) -> None:
    random = np.random.default_rng(6)
    kept, lost = random.uniform(0, 4, (2, 5, 6)).astype(np.float32)
    kept[0, 0] = lost[0, 0] = 0
    share = kept_share(lost, np.sqrt(kept), hyperpatch, "float16")
    assert share.dtype == np.float32
    assert share.shape == (6 - hyperpatch[0], 7 - hyperpatch[1])
    h, w = hyperpatch
    for row, col in np.ndindex(*share.shape):
        window = np.s_[row : row + h, col : col + w]
        inside, outside = kept[window].sum(), lost[window].sum()
        whole = inside + outside
        expected = 1 if whole == 0 else np.sqrt(inside / whole)
        assert share[row, col] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", REDUCED)
def test_share_is_all_where_a_cell_of_the_bank_may_lose_as_much(dtype: str) -> None:
    norms = np.ones((3, 3), np.float32)
    little, much = (np.full((3, 3), times * TOLERANCE[dtype], np.float32) for times in (990, 1100))
    assert (kept_share(little, norms, (2, 2), dtype) == 1).all()
    assert (kept_share(much, norms, (2, 2), dtype) < 1).all()


# Files


def test_written_directions_are_read_again(tmp_path: Path) -> None:
    directions = cells_of_rank(5, 20, 16)
    file = tmp_path / "directions" / "wide.npy"
    write_directions(file, directions)
    np.testing.assert_array_equal(read_directions(file, (16, 20), digest(directions)), directions)
    with pytest.raises(BankError, match=r"directions/wide\.npy is damaged: its checksum differs"):
        read_directions(file, (16, 20), digest(directions + 1))


def test_directions_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "directions").write_text("in the way")
    with pytest.raises(BankError, match=r"cannot write .*directions/wide\.npy"):
        write_directions(tmp_path / "directions" / "wide.npy", cells_of_rank(5, 20, 16))
