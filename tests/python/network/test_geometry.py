"""Maps from cells to pixels."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compnn.errors import LayerError
from compnn.network.geometry import AxisMap, maps_by_sizes

NUMBERS = st.fractions(-50, 50, max_denominator=60)
MAPS = st.builds(AxisMap, st.fractions(Fraction(1, 60), 50, max_denominator=60), NUMBERS)


@given(outer=MAPS, inner=MAPS, u=NUMBERS)
def test_maps_are_composed_exactly(outer: AxisMap, inner: AxisMap, u: Fraction) -> None:
    assert outer.after(inner)(u) == outer(inner(u))
    assert inner.inverse()(inner(u)) == u
    assert inner(inner.inverse()(u)) == u


@given(cells=st.integers(1, 100), pixels=st.integers(1, 1000))
def test_maps_by_sizes_lead_from_edge_to_edge(cells: int, pixels: int) -> None:
    for each in maps_by_sizes((cells, cells), (pixels, pixels)):
        assert (each(0), each(cells)) == (0, pixels)


@pytest.mark.parametrize(
    ("scale", "offset", "text"),
    [
        (Fraction(4), Fraction(-3, 2), "4u - 3/2"),
        (Fraction(1), Fraction(1), "u + 1"),
        (Fraction(255, 31), Fraction(0), "(255/31)u"),
    ],
)
def test_they_are_written_as_one_would(scale: Fraction, offset: Fraction, text: str) -> None:
    assert str(AxisMap(scale, offset)) == text


@pytest.mark.parametrize("scale", [0, -2])
def test_a_map_does_not_turn_pictures_over(scale: int) -> None:
    with pytest.raises(LayerError, match="above 0"):
        AxisMap(Fraction(scale))
