"""Putting a picture together from matched training patches (paper, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compnn.field import Field
from compnn.geometry import Layer


@dataclass(frozen=True)
class Provenance:
    """Where each pixel of a reconstruction comes from.

    Attributes
    ----------
    image, row, col
        int32 (height, width): image of the bank, and the pixel in it.
    """

    image: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    col: npt.NDArray[np.int32]

    def copy_from(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The reconstruction: uint8 (height, width[, 3]) from `images` uint8 (N, h, w[, 3])."""
        return np.ascontiguousarray(images[self.image, self.row, self.col])


def provenance(field: Field, layer: Layer, match: int = 0) -> Provenance:
    """The pixels that the `match`-th best matches of a field give, 0 being the best.

    Each query patch takes the pixels that lie around the centre of the matched patch as they lie
    around its own; so a patch at the edge of the query, which is larger, takes as much more.
    """
    grid_row, grid_col = layer.owners()
    rows, cols = grid_row[:, np.newaxis], grid_col[np.newaxis, :]
    height, width = layer.image_size
    sy, sx = layer.stride
    owner = (match, rows, cols)
    row = np.arange(height)[:, np.newaxis] + sy * (field.row[owner] - rows)
    col = np.arange(width)[np.newaxis, :] + sx * (field.col[owner] - cols)
    # Only where the stride does not divide the image can a patch reach beyond the matched image.
    return Provenance(
        field.image[owner],
        np.clip(row, 0, height - 1).astype(np.int32),
        np.clip(col, 0, width - 1).astype(np.int32),
    )
