"""Where the cells of a layer lie over pictures, in exact fractions (paper, section 3.1).

In coordinates in which pixel p spans [p, p + 1], and cell i [i, i + 1] with its centre at i + 1/2,
an axis of a layer lies over that of a picture by a map u -> a u + b. A layer has two: *looks* leads
to the input image (what the cell sees), *paints* to the output (what the cell decides there).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from compnn.errors import LayerError

Size: TypeAlias = tuple[int, int]
"""(height, width)."""

_Ints: TypeAlias = npt.NDArray[np.integer[Any]]

_GRID = re.compile(r"([0-9]{1,9})x([0-9]{1,9})(?:\+([0-9]{1,9}))?\Z")

# What text of a fraction is read: numbers of a network's sizes have few digits.
_FRACTION = re.compile(r"-?[0-9]{1,60}(/[0-9]{1,60})?\Z")
# Numbers below are added and doubled without leaving int64.
_WHOLE = 1 << 60


@dataclass(frozen=True)
class TokenGrid:
    """Which tokens of a sequence are the cells of a map: "14x14+5" in text.

    Attributes
    ----------
    rows, cols
        Of the map.
    before
        Tokens without place that stand before it: a class token, registers.
    """

    rows: int
    cols: int
    before: int = 0

    @classmethod
    def parse(cls, text: str) -> TokenGrid:
        """The grid in a text, HxW or HxW+N.

        Raises
        ------
        ValueError
            When it is none.
        """
        found = _GRID.match(text)
        rows, cols, before = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
        if min(rows, cols) < 1:
            raise ValueError(f"{text!r} is not of the form HxW+N, such as 14x14+1")
        return cls(rows, cols, before)

    def __str__(self) -> str:
        return f"{self.rows}x{self.cols}" + (f"+{self.before}" if self.before else "")


@dataclass(frozen=True)
class AxisMap:
    """u -> scale u + offset, in exact fractions; scale is above 0.

    Attributes
    ----------
    scale
        Pixels per cell.
    offset
        In pixels.

    Raises
    ------
    LayerError
        When the scale is not above 0.

    Examples
    --------
    >>> print(AxisMap(Fraction(4), Fraction(-3, 2)))
    4u - 3/2
    """

    scale: Fraction
    offset: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise LayerError(f"a map needs a scale above 0, not {self.scale}")

    def __call__(self, u: Fraction | int) -> Fraction:
        return self.scale * u + self.offset

    def after(self, inner: AxisMap) -> AxisMap:
        """u -> self(inner(u))."""
        return AxisMap(self.scale * inner.scale, self(inner.offset))

    def inverse(self) -> AxisMap:
        """The map that leads back."""
        return AxisMap(1 / self.scale, -self.offset / self.scale)

    def __str__(self) -> str:
        scale = "" if self.scale == 1 else str(self.scale)
        if "/" in scale:
            scale = f"({scale})"
        if not self.offset:
            return f"{scale}u"
        return f"{scale}u {'-' if self.offset < 0 else '+'} {abs(self.offset)}"

    def to_json(self) -> list[str]:
        """Scale and offset as text: ["255/31", "-1/2"]."""
        return [str(self.scale), str(self.offset)]

    @classmethod
    def from_json(cls, value: object) -> AxisMap:
        """The inverse of `to_json`.

        Raises
        ------
        LayerError
            When it is none.
        """
        match value:
            case [str(scale), str(offset)] if _FRACTION.match(scale) and _FRACTION.match(offset):
                with suppress(ZeroDivisionError):
                    return cls(Fraction(scale), Fraction(offset))
        raise LayerError(f'a map is two fractions such as ["4", "-3/2"], not {value!r}')


Maps: TypeAlias = tuple[AxisMap, AxisMap]
"""Of rows, and of columns."""


def maps_by_sizes(cells: Size, pixels: Size) -> Maps:
    """The maps that sizes alone suggest: u -> (pixels / cells) u.

    They are a guess: borders that a network does not pad, or pads on one side only, are not in
    them.
    """
    return (
        AxisMap(Fraction(pixels[0], cells[0])),
        AxisMap(Fraction(pixels[1], cells[1])),
    )


@dataclass(frozen=True)
class Geometry:
    """How the cells of a layer lie over the input image and over the output.

    Attributes
    ----------
    image_size
        (height, width) of the input image.
    looks
        Cell coordinates to those of the input image, of rows and of columns.
    output_size
        (height, width) of the output as a picture, which is that of the targets.
    paints
        Cell coordinates to those of the output picture. Where a network has no output, as `looks`.
    note
        What is not certain about the maps, in words; empty where they are composed operator by
        operator along one path.
    """

    image_size: Size
    looks: Maps
    output_size: Size
    paints: Maps
    note: str = ""

    def __post_init__(self) -> None:
        if min(*self.image_size, *self.output_size) < 1:
            raise LayerError(
                f"pictures have at least one pixel, not {self.image_size} and {self.output_size}"
            )

    @classmethod
    def by_sizes(cls, cells: Size, image_size: Size) -> Geometry:
        """What sizes alone suggest, with an output of the size of the image."""
        maps = maps_by_sizes(cells, image_size)
        return cls(image_size, maps, image_size, maps, "by sizes only")

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values."""
        return {
            "image_size": list(self.image_size),
            "looks": [each.to_json() for each in self.looks],
            "output_size": list(self.output_size),
            "paints": [each.to_json() for each in self.paints],
            "note": self.note,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> Geometry:
        """The inverse of `to_json`; fields of a later version are left alone.

        Raises
        ------
        LayerError
            When the fields are not those of a geometry.
        """
        match fields:
            case {
                "image_size": [int(height), int(width)],
                "looks": [look_rows, look_cols],
                "output_size": [int(output_height), int(output_width)],
                "paints": [paint_rows, paint_cols],
                "note": str(note),
            }:
                return cls(
                    (height, width),
                    (AxisMap.from_json(look_rows), AxisMap.from_json(look_cols)),
                    (output_height, output_width),
                    (AxisMap.from_json(paint_rows), AxisMap.from_json(paint_cols)),
                    note,
                )
        raise LayerError(f"a geometry has other fields than these: {dict(fields)!r}")


@dataclass(frozen=True)
class Placement:
    """How the hyperpatches of a layer lie over one picture (paper, section 3.1).

    The hyperpatch of h cells at i has its centre at map(i + h/2). Each pixel belongs to the
    hyperpatch with the nearest centre, of two to the later: so the hyperpatches own patches of
    `scale` pixels around their centres; those at the border reach to the picture's edge, so that
    every pixel has exactly one owner. A hyperpatch may own nothing: where cells are finer than
    pixels, or lie outside of the picture.

    Attributes
    ----------
    maps
        Cell coordinates to those of the picture, of rows and of columns.
    size
        (height, width) of the picture.
    cells
        (H, W) of the activation.
    hyperpatch
        Cells (h, w) of a hyperpatch.
    """

    maps: Maps
    size: Size
    cells: Size
    hyperpatch: Size

    @property
    def grid(self) -> Size:
        """Number of hyperpatches (gh, gw): every position at which one fits."""
        return self.cells[0] - self.hyperpatch[0] + 1, self.cells[1] - self.hyperpatch[1] + 1

    def row_bounds(self) -> npt.NDArray[np.int64]:
        """Pixel rows of the grid rows: int64 (gh + 1,); row i owns rows [b[i], b[i + 1])."""
        return self._bounds(0)

    def col_bounds(self) -> npt.NDArray[np.int64]:
        """Pixel columns of the grid columns: int64 (gw + 1,), as `row_bounds`."""
        return self._bounds(1)

    def owners(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Grid row of each pixel row, int32 (height,), and grid column of each, int32 (width,)."""
        return _owners(self.row_bounds()), _owners(self.col_bounds())

    def centre(self, at: tuple[int, int]) -> tuple[Fraction, Fraction]:
        """Where (y, x) the centre of the hyperpatch at a grid position is."""
        y, x = (
            axis(place + Fraction(cells, 2))
            for axis, place, cells in zip(self.maps, at, self.hyperpatch, strict=True)
        )
        return y, x

    def cells_of_pixels(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The row of cells that each row of pixels is in, int64 (height,), and columns (width,).

        By the centres of the pixels; those before the first cell are in this, those behind the last
        one in that.
        """
        rows, cols = (
            pixels_at(self.maps[axis].inverse(), self.size[axis], self.cells[axis])
            for axis in (0, 1)
        )
        return rows, cols

    def shift(self, source: Placement, axis: int, own: _Ints, matched: _Ints) -> _Ints:
        """How many pixels lie between a hyperpatch's centre here and that of its match.

        Parameters
        ----------
        source
            How the layer lies over the picture that the match is in.
        axis
            0 for rows, 1 for columns.
        own, matched
            Grid positions on that axis, here and there; they are broadcast.

        Returns
        -------
        The differences of the centres, rounded, halves up.
        """
        here, there = self.maps[axis], source.maps[axis]
        if here == there:
            here = there = AxisMap(here.scale)  # the offset is in both
        unit = 2 * math.lcm(
            *(part.denominator for each in (here, there) for part in (each.scale, each.offset))
        )
        ends = [
            _whole(each, unit, 2 * places.astype(np.int64) + placement.hyperpatch[axis])
            for each, places, placement in ((there, matched, source), (here, own, self))
        ]
        shifts: _Ints = (ends[0] - ends[1] + unit // 2) // unit
        return shifts

    def _bounds(self, axis: int) -> npt.NDArray[np.int64]:
        grid, pixels, each = self.grid[axis], self.size[axis], self.maps[axis]
        # ceil(m - 1/2), m = map(i + (h - 1)/2) the middle of the centres of i - 1 and i.
        unit = 2 * math.lcm(each.scale.denominator, each.offset.denominator)
        middles = _whole(each, unit, 2 * np.arange(grid + 1) + self.hyperpatch[axis] - 1)
        bounds: npt.NDArray[np.int64] = np.clip(-((unit // 2 - middles) // unit), 0, pixels).astype(
            np.int64
        )
        bounds[0], bounds[grid] = 0, pixels
        return bounds


def pixels_at(each: AxisMap, count: int, there: int) -> npt.NDArray[np.int64]:
    """Which of `there` pixels (or cells) the centre of each of `count` lies in: int64 (count,).

    `each` leads from these coordinates to those; what lies outside is brought to the nearest.
    """
    unit = 2 * math.lcm(each.scale.denominator, each.offset.denominator)
    places = _whole(each, unit, 2 * np.arange(count, dtype=np.int64) + 1) // unit
    found: npt.NDArray[np.int64] = np.clip(places, 0, there - 1).astype(np.int64)
    return found


def _whole(each: AxisMap, unit: int, doubled: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """unit * map(doubled / 2), which are whole: int64, or Python's where those are too small."""
    scale, offset = int(each.scale * unit) // 2, int(each.offset * unit)
    most = int(np.abs(doubled).max(initial=0))
    fits = most * scale + abs(offset) + unit < _WHOLE
    return doubled.astype(np.int64 if fits else object) * scale + offset


def _owners(bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    return np.repeat(np.arange(len(bounds) - 1, dtype=np.int32), np.diff(bounds))
