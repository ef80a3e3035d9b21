"""Finding pictures and regions on sheets, pixel by pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Image = npt.NDArray[np.uint8]


def place_of(sheet: Image, picture: Image) -> tuple[int, int] | None:
    """The first (row, column) at which the picture is on the sheet; both (H, W, 3)."""
    height, width = picture.shape[:2]
    places = np.mgrid[: sheet.shape[0] - height + 1, : sheet.shape[1] - width + 1]
    rows, cols = places.reshape(2, -1)
    # Few pixels tell nearly all places apart.
    random = np.random.default_rng(0)
    for row, col in zip(random.integers(0, height, 20), random.integers(0, width, 20), strict=True):
        equal = (sheet[rows + row, cols + col] == picture[row, col]).all(axis=1)
        rows, cols = rows[equal], cols[equal]
    for top, left in zip(rows.tolist(), cols.tolist(), strict=True):
        if np.array_equal(sheet[top : top + height, left : left + width], picture):
            return top, left
    return None


def holds(sheet: Image, picture: Image) -> bool:
    """Whether the picture is on the sheet."""
    return place_of(sheet, picture) is not None


def boxes_of(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int, int, int, int]]:
    """(left, top, width, height, pixels) of each region of a mask; corners connect, too."""
    regions, count = ndimage.label(mask, np.ones((3, 3)))
    pixels = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    return [
        (cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start, int(area))
        for (rows, cols), area in zip(ndimage.find_objects(regions), pixels, strict=True)
    ]
