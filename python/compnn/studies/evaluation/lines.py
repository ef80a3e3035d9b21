"""Summing the measurements of images up to the lines of a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from compnn.studies.evaluation.plan import Plan
from compnn.studies.evaluation.record import Record
from compnn.studies.evaluation.rows import Against, Row


@dataclass(frozen=True)
class Line:
    """A row's measures against one truth, over a set of images.

    Attributes
    ----------
    row, against
        The row, and what its pictures are compared with.
    values
        The measures by name.
    changes
        Against the target: each measure less that of the network's own output, if there is one;
        else empty.
    similarity
        Mean cosine similarity of the best matches (GR: of the nearest image); nan for the network.
    no_evidence
        Mean over images of the share of pixels that have no match; nan where nothing is put
        together from matches (network, GR).
    seconds
        Median time of the search in one image; nan for the network.
    """

    row: Row
    against: Against
    values: dict[str, float]
    changes: dict[str, float]
    similarity: float
    no_evidence: float
    seconds: float


def lines_of(plan: Plan, records: Sequence[Record]) -> tuple[Line, ...]:
    """The lines of a table of the images that `records` are of, at least one."""
    lines: list[Line] = []
    for row in plan.rows():
        measured = [record.rows[str(row)] for record in records]
        similarities = [each.similarity for each in measured if each.similarity is not None]
        shares = [each.no_evidence for each in measured if each.no_evidence is not None]
        seconds = [each.seconds for each in measured if each.seconds is not None]
        for against in plan.against(row):
            values = plan.comparison(against).summarise(
                [each.observations[against] for each in measured]
            )
            changes = {}
            if against == "target" and lines and plan.has_output:  # the first is the network's
                changes = {name: value - lines[0].values[name] for name, value in values.items()}
            lines.append(
                Line(
                    row,
                    against,
                    values,
                    changes,
                    statistics.fmean(similarities) if similarities else math.nan,
                    statistics.fmean(shares) if shares else math.nan,
                    statistics.median(seconds) if seconds else math.nan,
                )
            )
    return tuple(lines)
