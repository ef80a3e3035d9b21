"""Slow, plain NumPy versions of what `compnn._core` computes, and cases to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Case:
    """A query (H, W, D) and images of a bank, of one precision, and what is asked of them.

    The images are an array (N, H, W, D), or a list of (H, W, D) of many sizes. `stored_as` names a
    dtype of banks that NumPy has no floats of: the engine is given the cells as those hold them,
    and the floats here are what they mean.
    """

    query: Floats
    bank: Floats | Sequence[Floats]
    hyperpatch: tuple[int, int]
    candidates: npt.NDArray[np.int32]
    matches: int = 1
    stored_as: str | None = None

    @property
    def hyperpatches(self) -> int:
        """How many hyperpatches the candidates have."""
        return int(np.prod(self.grids()[self.candidates], axis=1).sum())

    def grids(self) -> npt.NDArray[np.int64]:
        """Rows and columns of hyperpatches of each image (N, 2): 0 where it is too small."""
        sizes = np.array([image.shape[:2] for image in self.bank], np.int64)
        return np.maximum(sizes - np.array(self.hyperpatch) + 1, 0)


def cell_norms(cells: Floats) -> npt.NDArray[np.float32]:
    """L2 norms of cells (..., D)."""
    return np.sqrt(np.square(cells.astype(np.float64)).sum(axis=-1)).astype(np.float32)


def bfloat16_bits(numbers: Floats) -> npt.NDArray[np.uint16]:
    """The bits of the bfloat16 nearest to each float32 number; of two, that with the even bits."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32)
    inner = bits >> 16 << 16  # towards zero
    outer = inner + (1 << 16)
    exact, low, high = (each.view(np.float32).astype(np.float64) for each in (bits, inner, outer))
    to_inner, to_outer = np.abs(exact - low), np.abs(high - exact)
    inner_is_odd = (inner >> 16) % 2 == 1
    up = (to_outer < to_inner) | ((to_outer == to_inner) & inner_is_odd)
    return (np.where(up, outer, inner) >> 16).astype(np.uint16)


def stored(cells: Floats, dtype: str) -> npt.NDArray[Any]:
    """Cells (..., D) as a bank of that dtype holds them."""
    if dtype == "bfloat16":
        return bfloat16_bits(cells)
    if dtype == "int8":
        wide = cells.astype(np.float32)
        largest = np.abs(wide).max(axis=-1, keepdims=True)
        factor = np.divide(127, largest, out=np.zeros_like(largest), where=largest > 0)
        return np.rint(wide * factor).astype(np.int8)
    return cells.astype(dtype)


def stored_norms(cells: Floats, dtype: str) -> npt.NDArray[np.float32]:
    """The norms that a bank of that dtype keeps of cells (..., D): of what it rounds them to.

    The integers of int8 have no length of their own: theirs is that of the cells.
    """
    if dtype == "int8":
        return cell_norms(cells)
    rounded = stored(cells, dtype)
    return cell_norms(dequantised(rounded, np.zeros(rounded.shape[:-1], np.float32)))


def dequantised(numbers: npt.NDArray[Any], norms: npt.NDArray[np.float32]) -> Floats:
    """What the numbers (..., D) and norms (...) of a bank mean, as docs/bank_format.md has it."""
    if numbers.dtype == np.uint16:
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    if numbers.dtype == np.int8:
        codes = numbers.astype(np.float64)
        lengths = np.sqrt(np.square(codes).sum(axis=-1, keepdims=True))
        return codes * norms[..., None] / np.where(lengths > 0, lengths, 1)
    return numbers


def as_kept(cells: Floats, dtype: str) -> Floats:
    """What a bank of that dtype makes of cells (..., D)."""
    return dequantised(stored(cells, dtype), stored_norms(cells, dtype))


def kept_as(case: Case, dtype: str) -> Case:
    """The case with cells that a bank of that dtype holds exactly."""

    def kept(cells: Floats) -> Floats:
        if dtype in ("float16", "float32"):
            return cells.astype(dtype)
        return as_kept(cells, dtype).astype(np.float32)

    images = [kept(image) for image in case.bank]
    bank = np.stack(images) if isinstance(case.bank, np.ndarray) else images
    stored_as = None if dtype in ("float16", "float32") else dtype
    return replace(case, query=kept(case.query), bank=bank, stored_as=stored_as)


def hyperpatches(cells: Floats, hyperpatch: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Unit vectors (rows, cols, h * w * D) of an activation (H, W, D); zero where the norm is."""
    windows = np.lib.stride_tricks.sliding_window_view(cells, hyperpatch, axis=(0, 1))
    flat = windows.reshape(*windows.shape[:2], -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=-1, keepdims=True)
    return np.divide(flat, norms, out=np.zeros_like(flat), where=norms > 0)


def smooth_case(seed: int, images: int, side: int, depth: int = 24) -> Case:
    """Activations as networks have them: smooth over the image, in few main directions."""
    random = np.random.default_rng(seed)
    shape = (images + 1, side // 4 + 1, side // 4 + 1, depth)
    coarse = random.normal(size=shape) * 0.7 ** np.arange(depth)
    place = np.linspace(0, side // 4, side, endpoint=False)
    whole, part = place.astype(int), (place % 1)[:, None, None]
    rows = coarse[:, whole] * (1 - part) + coarse[:, whole + 1] * part
    part = part[:, :, 0]
    cells = rows[:, :, whole] * (1 - part) + rows[:, :, whole + 1] * part
    cells = (cells + 0.05 * random.normal(size=cells.shape)).astype(np.float32)
    return Case(cells[0], cells[1:], (2, 2), np.arange(images, dtype=np.int32))


def similarities(case: Case) -> npt.NDArray[np.float64]:
    """Cosine of every query hyperpatch with every candidate's: (rows, cols, places).

    Places are in the order of image, row, column; equal hyperpatches get equal numbers.
    """
    query = hyperpatches(case.query, case.hyperpatch)
    bank = np.concatenate(
        [
            hyperpatches(case.bank[image], case.hyperpatch).reshape(-1, query.shape[-1])
            for image in case.candidates
            if case.grids()[image].all()
        ]
    )
    result = np.empty((*query.shape[:2], len(bank)))
    for row, col in np.ndindex(*query.shape[:2]):
        # Not a matrix product: BLAS may give equal columns different last bits.
        result[row, col] = (bank * query[row, col]).sum(axis=1)
    return result


def has_direction(cells: Floats, hyperpatch: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Where hyperpatches (rows, cols) of an activation (H, W, D) are not zero to the engine.

    It goes by the norms of cells, and those below 1e-18 count as zero.
    """
    squares = np.square(cell_norms(cells).astype(np.float64))
    windows = np.lib.stride_tricks.sliding_window_view(squares, hyperpatch)
    return np.sqrt(windows.sum(axis=(-2, -1))) >= np.float64(np.float32(1e-18))


def possible(case: Case) -> npt.NDArray[np.bool_]:
    """Whether a query hyperpatch can match a candidate's: (rows, cols, places)."""
    bank = [
        has_direction(case.bank[image], case.hyperpatch).ravel()
        for image in case.candidates
        if case.grids()[image].all()
    ]
    query = has_direction(case.query, case.hyperpatch)
    return query[..., None] & np.concatenate(bank)


def place_index(
    case: Case,
    image: npt.NDArray[np.int32],
    row: npt.NDArray[np.int32],
    col: npt.NDArray[np.int32],
) -> npt.NDArray[np.int64]:
    """Positions of matches on the last axis of `similarities`; fails for impossible places."""
    assert np.isin(image, case.candidates).all()
    grids = case.grids()
    assert ((row >= 0) & (row < grids[image, 0])).all()
    assert ((col >= 0) & (col < grids[image, 1])).all()
    counts = grids[case.candidates].prod(axis=1)
    before = np.cumsum(counts) - counts
    return before[np.searchsorted(case.candidates, image)] + row * grids[image, 1] + col


def random_case(
    seed: int,
    *,
    images: int = 4,
    bank: tuple[int, int] = (6, 7),
    query: tuple[int, int] = (5, 6),
    depth: int = 11,
    hyperpatch: tuple[int, int] = (2, 2),
    matches: int = 1,
    dtype: str = "float32",
) -> Case:
    """Normally distributed cells, kept in a dtype of banks; every image is a candidate."""
    generator = np.random.default_rng(seed)
    case = Case(
        query=generator.standard_normal((*query, depth)),
        bank=generator.standard_normal((images, *bank, depth)),
        hyperpatch=hyperpatch,
        candidates=np.arange(images, dtype=np.int32),
        matches=matches,
    )
    return kept_as(case, dtype)


def with_matches(case: Case, matches: int) -> Case:
    """The case asking for `matches`, or for as many as there are."""
    return replace(case, matches=min(matches, case.hyperpatches))
