"""A floating-point picture to paint boxes, shadows and masked tiles on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compnn.demo.facade.styles import Colour

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Canvas:
    """A float32 image (height, width, 3), 0 to 255, to paint on; parts outside are cut off."""

    def __init__(self, pixels: Image) -> None:
        self.pixels = pixels

    def part(self, left: int, top: int, right: int, bottom: int) -> Image:
        """View of the pixels of a box."""
        return self.pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]

    def rect(self, left: int, top: int, right: int, bottom: int, colour: Colour | Image) -> None:
        self.part(left, top, right, bottom)[:] = np.asarray(colour, np.float32)

    def light(self, left: int, top: int, right: int, bottom: int, factor: float) -> None:
        """Makes a box darker (factor < 1) or lighter."""
        self.part(left, top, right, bottom)[:] *= np.float32(factor)

    def fade(self, left: int, top: int, right: int, bottom: int, first: float, last: float) -> None:
        """Light that changes evenly from `first` at the top to `last` at the bottom."""
        height = bottom - top
        if height <= 0:
            return
        ramp = np.arange(height, dtype=np.float32) / np.float32(height)
        factor = np.float32(first) * (1 - ramp) + np.float32(last) * ramp
        start, stop = max(top, 0), min(bottom, self.pixels.shape[0])
        self.part(left, start, right, stop)[:] *= factor[start - top : stop - top, None, None]

    def shadow(self, left: int, top: int, right: int, bottom: int, depth: float, soft: int) -> None:
        """A soft shadow: full `depth` inside the box, none `soft` pixels outside it."""
        height, width = self.pixels.shape[:2]
        rows = np.arange(max(top - soft, 0), min(bottom + soft, height), dtype=np.float32)
        columns = np.arange(max(left - soft, 0), min(right + soft, width), dtype=np.float32)
        if not len(rows) or not len(columns):
            return
        edge = np.float32(soft + 1)
        down = np.clip(np.minimum(rows - (top - soft) + 1, bottom + soft - rows) / edge, 0, 1)
        across = np.clip(
            np.minimum(columns - (left - soft) + 1, right + soft - columns) / edge, 0, 1
        )
        factor = 1 - np.float32(depth) * down[:, None] * across
        r, c = int(rows[0]), int(columns[0])
        self.pixels[r : r + len(rows), c : c + len(columns)] *= factor[..., None]

    def paste(self, tile: Image, left: int, top: int, mask: Mask) -> None:
        """Copies the pixels of `tile` (h, w, 3) where `mask` (h, w) is set."""
        height, width = self.pixels.shape[:2]
        y, x = max(-top, 0), max(-left, 0)
        bottom, right = min(tile.shape[0], height - top), min(tile.shape[1], width - left)
        if bottom <= y or right <= x:
            return
        part = self.pixels[top + y : top + bottom, left + x : left + right]
        inside = mask[y:bottom, x:right]
        part[inside] = tile[y:bottom, x:right][inside]
