"""The class of each patch, from the class of each pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compnn.network.geometry import Placement


def patch_labels(labels: npt.NDArray[np.uint8], placement: Placement) -> npt.NDArray[np.uint8]:
    """The most frequent label of each patch, uint8 (gh, gw), of a label map uint8 (H, W).

    The lowest of equally frequent ones. A patch that owns no pixels (where cells lie outside of the
    picture, or are finer) takes the label of the pixels nearest to it.
    """
    (rows, row_owners), (cols, col_owners) = (
        _pixels_of_patches(bounds, pixels)
        for bounds, pixels in zip(
            (placement.row_bounds(), placement.col_bounds()), placement.size, strict=True
        )
    )
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256))
    number = np.zeros(256, dtype=np.int64)
    number[present] = np.arange(len(present))
    height, width = placement.grid
    patches = row_owners[:, None] * width + col_owners
    cells = patches * len(present) + number[labels[rows][:, cols]]
    counts = np.bincount(cells.ravel(), minlength=height * width * len(present))
    winners = counts.reshape(height, width, len(present)).argmax(axis=2)
    return np.asarray(present[winners], dtype=np.uint8)


def _pixels_of_patches(
    bounds: npt.NDArray[np.int64], pixels: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Each pixel row (or column) of each patch, and the patch; those of several occur as often."""
    starts = np.minimum(bounds[:-1], pixels - 1)
    ends = np.maximum(bounds[1:], starts + 1)
    owned = [np.arange(start, end) for start, end in zip(starts, ends, strict=True)]
    return np.concatenate(owned), np.repeat(np.arange(len(owned)), ends - starts)
