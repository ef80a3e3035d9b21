"""Directions of a layer's cells: where channels depend on each other, fewer numbers say the same.

A convolution of a photo's 4x4 windows, for one, has 48 degrees of freedom however many channels it
has. The bank keeps the coordinates of cells along orthonormal directions, which changes no angle
and so no similarity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn import _core
from compnn.bank.records import map_array
from compnn.bank.writing import save_array
from compnn.errors import BankError

Directions = npt.NDArray[np.float32]

# What is left out, as a share of the squared length of a sample of cells: about what the dtype's
# rounding loses anyway. Banks of float32 leave out nothing.
TOLERANCE: Mapping[str, float] = {"float16": 1e-7, "bfloat16": 1e-6, "int8": 1e-5}

# A cell that loses more than this many times the tolerance shows that the sample did not tell the
# layer's directions.
_MOST_TIMES = 1000
_TINY = 1e-36

SAMPLED_IMAGES = 8
_MOST_CELLS = 4096  # of an image, besides its edges
# Fewer sampled cells than this for each channel do not tell which directions there are.
_CELLS_PER_CHANNEL = 16
# Numbers of a cell, so that they fill whole vectors.
_STEP = 16
# Projecting takes time at the build and for each query: it must save at least an eighth.
_LARGEST_SHARE = 7 / 8


def may_have(shape: tuple[int, int, int], images: int, dtype: str, *, fixed: bool) -> bool:
    """Whether a sample can tell fewer directions than channels of a layer (H, W, D).

    Where sizes are not `fixed`, images may have more cells than that.
    """
    height, width, channels = shape
    each = min(height * width, _MOST_CELLS) if fixed else _MOST_CELLS
    return _can_tell(min(images, SAMPLED_IMAGES) * each, channels, dtype)


def _can_tell(cells: int, channels: int, dtype: str) -> bool:
    return dtype in TOLERANCE and channels > _STEP and cells >= _CELLS_PER_CHANNEL * channels


def sampled_images(count: int) -> list[int]:
    """Indices of the images, out of `count`, whose cells are the sample: evenly spread."""
    sampled = min(count, SAMPLED_IMAGES)
    return [index * count // sampled for index in range(sampled)]


def sampled_cells(raw: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cells (n, D) of an activation (D, H, W): those at its edges, and some of the others.

    The edges are where the network pads, which shows in directions of their own.
    """
    _, height, width = raw.shape
    chosen = np.zeros((height, width), np.bool_)
    chosen[[0, -1]] = chosen[:, [0, -1]] = True
    step = -(-height * width // _MOST_CELLS)
    chosen.reshape(-1)[::step] = True
    return np.ascontiguousarray(raw[:, chosen].T)


def find_directions(samples: Sequence[npt.NDArray[np.float32]], dtype: str) -> Directions | None:
    """Orthonormal directions float32 (K, D) of a layer, from cells (n, D) of some images.

    None if there are too few cells to tell, or the dtype or the layer leaves nothing out.
    """
    cells = np.concatenate(samples)
    count, channels = cells.shape
    if not _can_tell(count, channels, dtype):
        return None
    found: Directions = _core.main_directions(cells, missing=TOLERANCE[dtype], step=_STEP)
    return found if 0 < len(found) <= _LARGEST_SHARE * channels else None


def fits(lost: npt.NDArray[np.float32], norms: npt.NDArray[np.float32], dtype: str) -> bool:
    """Return whether no cell of an image has a noticeable part outside of the directions.

    `lost` and `norms` (H, W) are what packing gives: squares left out, norms of what is kept. Cells
    so short that they are rounding of the network count as cells of a thousandth of the usual norm.
    """
    whole = lost.astype(np.float64) + np.square(norms, dtype=np.float64)
    shares = lost / np.maximum(whole, max(1e-6 * whole.mean(), _TINY))
    return bool(shares.max() <= _MOST_TIMES * TOLERANCE[dtype])


def kept_share(
    lost: npt.NDArray[np.float32],
    norms: npt.NDArray[np.float32],
    hyperpatch: tuple[int, int],
    dtype: str,
) -> npt.NDArray[np.float32]:
    """Share of the norm of each of a query's hyperpatches that is in the directions, float32.

    A similarity to hyperpatches that lie in the directions, times this, is that of the whole
    hyperpatch. It is 1 where no more is left out than may be of the bank's cells (`fits`), so that
    an image that is in the bank is as similar to itself as can be.
    """
    kept = _windows(np.square(norms, dtype=np.float64), hyperpatch)
    outside = _windows(lost.astype(np.float64), hyperpatch)
    share = np.divide(outside, kept + outside, where=outside > 0, out=np.zeros_like(kept))
    share[share <= _MOST_TIMES * TOLERANCE[dtype]] = 0
    return np.asarray(np.sqrt(1 - share), np.float32)


def _windows(cells: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Sums over all windows of `size`."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(cells, size).sum(axis=(2, 3)))


def digest(directions: Directions) -> str:
    """What tells directions from others: the first 32 hex digits of the SHA-256 of the numbers."""
    return hashlib.sha256(np.ascontiguousarray(directions).tobytes()).hexdigest()[:32]


def write_directions(path: Path, directions: Directions) -> None:
    """Write directions to a new file.

    Raises
    ------
    BankError
        If that fails.
    """
    save_array(path, directions)


def read_directions(path: Path, shape: tuple[int, int], known: str) -> Directions:
    """Read directions (K, D) whose digest is known.

    Raises
    ------
    BankError
        If they are missing, damaged, or not float32 of that shape.
    """
    directions = np.array(map_array(path, shape, "float32"))
    if digest(directions) != known:
        raise BankError(f"{path} is damaged: its checksum differs. Rebuild the bank.")
    return directions
