"""The share of the output that each source gave, as a legend lists it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compnn.explanation.explanation import Explanation


@dataclass(frozen=True)
class LegendRow:
    """One line of the legend.

    Attributes
    ----------
    rank
        1 for the source of most pixels; None for all sources that are not shown, taken together.
    index
        Index of the training image in the bank; None with rank None.
    name
        Name of the training image, or how many there are for rank None.
    share
        Part of the output's pixels, in [0, 1].
    percent
        The share as text, rounded so that the rows add up to 100.0 %.
    """

    rank: int | None
    index: int | None
    name: str
    share: float
    percent: str


def legend_rows(explanation: Explanation, shown: int) -> list[LegendRow]:
    """Return a row for each of the first `shown` sources, and one for the others if there are."""
    ranked = explanation.sources()
    top, others = ranked[:shown], ranked[shown:]
    counts = [source.pixels for source in top]
    if others:
        counts.append(sum(source.pixels for source in others))
    total = sum(counts)
    shares = [count / total for count in counts]
    percents = [f"{tenths // 10}.{tenths % 10} %" for tenths in _tenths(counts)]
    rows = [
        LegendRow(rank, source.index, source.name, shares[rank - 1], percents[rank - 1])
        for rank, source in enumerate(top, start=1)
    ]
    if others:
        name = f"{len(others)} other{'s' if len(others) > 1 else ''}"
        rows.append(LegendRow(None, None, name, shares[-1], percents[-1]))
    return rows


def _tenths(counts: list[int]) -> list[int]:
    """Round the counts to tenths of a percent that add up to 1000: largest remainders go up."""
    total = sum(counts)
    tenths = [1000 * count // total for count in counts]
    order = sorted(range(len(counts)), key=lambda row: (-(1000 * counts[row] % total), row))
    for row in order[: 1000 - sum(tenths)]:
        tenths[row] += 1
    return tenths
