"""Where the cells of a layer lie over pictures, in exact fractions (paper, section 3.1).

In coordinates in which pixel p spans [p, p + 1], and cell i [i, i + 1] with its centre at i + 1/2,
an axis of a layer lies over that of a picture by a map u -> a u + b. A layer has two: *looks* leads
to the input image (what the cell sees), *paints* to the output (what the cell decides there).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from compnn.errors import LayerError

Size: TypeAlias = tuple[int, int]
"""(height, width)."""


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
            case [str(scale), str(offset)] if len(scale) + len(offset) <= 200:
                try:
                    return cls(Fraction(scale), Fraction(offset))
                except (ValueError, ZeroDivisionError):
                    pass
        raise LayerError(f'a map is two fractions such as ["4", "-3/2"], not {value!r}')


IDENTITY = AxisMap(Fraction(1))

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
