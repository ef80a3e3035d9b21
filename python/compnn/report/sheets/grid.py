"""Sheets in equal columns, right of a strip with the names of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from compnn.report.sheets.canvas import Canvas
from compnn.report.sheets.pictures import height_at
from compnn.report.sheets.text import Lettering

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class GridKind:
    """The proportions of one kind of sheet.

    Attributes
    ----------
    widest, widest_cell
        Most pixels that the sheet, and one of its pictures, may be wide. A picture that is wider
        by itself is reduced only as far as the sheet needs it.
    em_in_cell
        How many times the font size goes into the width of a picture.
    em_limits
        Smallest and largest font size in pixels.
    gap, margin
        In multiples of the font size.
    """

    widest: int
    widest_cell: int
    em_in_cell: int
    em_limits: tuple[int, int]
    gap: float
    margin: float

    def fit(self, image_size: tuple[int, int], columns: int) -> Grid:
        """Fit `columns` pictures of `image_size`: enlarged by a whole factor, or else reduced."""
        cells = ((height_at(image_size, w), w) for w in self._cell_widths(image_size[1]))
        grids = (self._grid(columns, cell) for cell in cells)
        return next(grid for grid in grids if grid.width + 2 * grid.margin <= self.widest)

    def _cell_widths(self, natural: int) -> Iterator[int]:
        for factor in range(max(1, self.widest_cell // natural), 0, -1):
            yield factor * natural
        yield from range(min(natural - 1, self.widest), 0, -1)

    def _grid(self, columns: int, cell: tuple[int, int]) -> Grid:
        smallest, largest = self.em_limits
        em = min(largest, max(smallest, cell[1] // self.em_in_cell))
        return Grid(em, columns, cell, round(self.gap * em), round(self.margin * em))


@dataclass(frozen=True)
class Grid(Lettering):
    """Where things are on a sheet; all in pixels.

    Attributes
    ----------
    columns
        Their number.
    cell
        (height, width) of each picture.
    gap
        Between two columns.
    margin
        Around the sheet.
    """

    columns: int
    cell: tuple[int, int]
    gap: int
    margin: int

    @property
    def left(self) -> int:
        """Width of the strip, and so the left edge of the first column."""
        return round(1.6 * self.em)

    @property
    def width(self) -> int:
        return self.column(self.columns) - self.gap + 1

    def column(self, index: int) -> int:
        """Left edge of a column."""
        return self.left + index * (self.cell[1] + self.gap)

    def legend_left(self, taken: int) -> int:
        """Left edge of a legend: beside the first `taken` pictures, or `left` without room there.

        Beside them it needs two columns.
        """
        return self.column(taken) if self.columns >= taken + 2 else self.left

    def indented(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return a band as wide as the grid, with the picture right of the strip."""
        canvas = Canvas(picture.shape[0], self.width)
        canvas.paste(picture, 0, self.left)
        return canvas.pixels


def equal_rows(items: Sequence[_Item], rows: int) -> list[Sequence[_Item]]:
    """Divide the items into rows of equal length; the last may be shorter."""
    length = -(-len(items) // rows)
    return [items[start : start + length] for start in range(0, len(items), length)]
