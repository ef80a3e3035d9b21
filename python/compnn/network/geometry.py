"""Where cells lie over pictures, in exact fractions (paper, section 3.1).

In coordinates in which pixel p spans [p, p + 1], and cell i [i, i + 1] with its centre at i + 1/2,
an axis of cells lies over that of a picture by a map u -> a u + b.
"""

from __future__ import annotations

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
