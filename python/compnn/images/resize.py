"""Bringing pictures to another size."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

_Number = TypeVar("_Number", bound=np.generic)


def resized(
    picture: npt.NDArray[_Number], size: tuple[int, int], *, nearest: bool = False
) -> npt.NDArray[_Number]:
    """Return the picture at another size, of the same dtype; whole numbers are rounded.

    A side that shrinks has the mean of the area that a pixel covers, one that grows is linear
    between the centres of pixels.

    Parameters
    ----------
    picture
        (H, W) or (H, W, C), of any numbers.
    size
        (height, width).
    nearest
        Whether each pixel is one of the picture's instead, as labels need it.
    """
    if picture.shape[:2] == size:
        return picture
    if nearest:
        rows, cols = (
            np.arange(wanted) * found // wanted
            for wanted, found in zip(size, picture.shape, strict=False)
        )
        # Rows last: whole ones are copied quickly.
        chosen: npt.NDArray[_Number] = picture.take(cols, axis=1).take(rows, axis=0)
        return chosen
    values: npt.NDArray[np.float64] = picture.astype(np.float64)
    for axis, wanted in enumerate(size):
        values = _of_axis(values, axis, wanted)
    if np.issubdtype(picture.dtype, np.integer):
        values = np.rint(values)
    return values.astype(picture.dtype)


def _of_axis(values: npt.NDArray[np.float64], axis: int, wanted: int) -> npt.NDArray[np.float64]:
    found = values.shape[axis]
    if wanted == found:
        return values
    if wanted < found:
        # Differences of the running sum at the edges of areas, as of an integral image.
        sums = np.cumsum(values, axis)
        sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis)
        edges = np.arange(wanted + 1) * found / wanted
        means: npt.NDArray[np.float64] = np.diff(_between(sums, axis, edges), axis=axis)
        means *= wanted / found
        return means
    centres = (np.arange(wanted) + 0.5) * found / wanted - 0.5
    return _between(values, axis, np.clip(centres, 0, found - 1))


def _between(
    values: npt.NDArray[np.float64], axis: int, places: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The values along an axis at fractional places, linearly."""
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (places - low).reshape([-1 if each == axis else 1 for each in range(values.ndim)])
    first = values.take(low, axis)
    moved: npt.NDArray[np.float64] = first + (values.take(high, axis) - first) * share
    return moved
