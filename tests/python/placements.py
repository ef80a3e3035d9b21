"""What belongs to which hyperpatch, stated pixel by pixel in fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from hypothesis import strategies as st

from compnn.network.geometry import AxisMap, Geometry, Placement

HALF = Fraction(1, 2)


def centre(placement: Placement, axis: int, place: int) -> Fraction:
    """Where the centre of a hyperpatch is, along an axis."""
    return placement.maps[axis](place + Fraction(placement.hyperpatch[axis], 2))


def owner(placement: Placement, axis: int, pixel: int) -> int:
    """The hyperpatch whose centre is nearest to that of a pixel; of two the later."""
    distances = [
        (abs(centre(placement, axis, place) - pixel - HALF), -place)
        for place in range(placement.grid[axis])
    ]
    return -min(distances)[1]


def cell(placement: Placement, axis: int, pixel: int) -> int:
    """The cell that the centre of a pixel is in; outside of all the nearest."""
    u = (pixel + HALF - placement.maps[axis].offset) / placement.maps[axis].scale
    return min(max(floor(u), 0), placement.cells[axis] - 1)


def given_by(
    own: Placement, source: Placement, axis: int, pixel: int, place: int, match: int, pixels: int
) -> int:
    """The pixel, of `pixels` there are, that a match gives to a pixel of its hyperpatch's patch."""
    shift = floor(centre(source, axis, match) - centre(own, axis, place) + HALF)
    return min(max(pixel + shift, 0), pixels - 1)


def fractions(low: int, high: int) -> st.SearchStrategy[Fraction]:
    """Fractions as networks have them, between two numbers."""
    return st.one_of(
        st.integers(low, high).map(Fraction),
        st.integers(2 * low, 2 * high).map(lambda twice: Fraction(twice, 2)),
        st.fractions(low, high, max_denominator=63),
    )


def axis_maps(scale: int = 7, offset: int = 9) -> st.SearchStrategy[AxisMap]:
    """Maps of at most `scale` pixels a cell, whose first cell is at most `offset` pixels away."""
    scales = fractions(0, scale).filter(lambda each: each > Fraction(1, 8))
    return st.builds(AxisMap, scales, fractions(-offset, offset))


@st.composite
def geometries(draw: st.DrawFn, pixels: int = 24) -> Geometry:
    """Any two maps over pictures of any two sizes."""
    sizes = st.tuples(st.integers(1, pixels), st.integers(1, pixels))
    maps = st.tuples(axis_maps(), axis_maps())
    return Geometry(draw(sizes), draw(maps), draw(sizes), draw(maps))
