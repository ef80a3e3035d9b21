"""The result of an evaluation: the table, the table of each image, and what was used."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from compnn.bank.selection import Selection
from compnn.explanation.composition import Composition
from compnn.search.search import Search
from compnn.studies.evaluation.lines import Line, lines_of
from compnn.studies.evaluation.plan import Plan
from compnn.studies.evaluation.record import Record
from compnn.studies.evaluation.rows import Row
from compnn.studies.usage import Usage, UsageCounter


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The measurements of a validation set, see `compnn.studies.evaluation.evaluate`.

    Attributes
    ----------
    plan
        What was measured, and notes about what was left out.
    records
        The measurements of each image, in the order of the dataset.
    selection, composition, search
        As they were given.
    """

    plan: Plan
    records: tuple[Record, ...]
    selection: Selection
    composition: Composition
    search: Search

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The table over all images; the first line is that of the network."""
        return lines_of(self.plan, self.records)

    @cached_property
    def image_lines(self) -> dict[str, tuple[Line, ...]]:
        """The table of each image alone."""
        return {record.image: lines_of(self.plan, [record]) for record in self.records}

    @cached_property
    def usage(self) -> dict[Row, Usage]:
        """What training images gave to the output reconstructions of each row.

        Shares are compared with those of all images that may be used, whatever k.
        """
        usages = {}
        for layer, top_k in self.plan.searches():
            row = Row("OR", layer, top_k)
            counter = UsageCounter(self.plan.bank, among=self.plan.allowed)
            for record in self.records:
                counter.add_pixels(record.rows[str(row)].used)
            usages[row] = counter.usage()
        return usages

    def line(self, row: Row) -> Line:
        """The line of a row against its first truth: the true target, or the query (IR)."""
        return next(line for line in self.lines if line.row == row)

    @property
    def settings(self) -> dict[str, Any]:
        """What was asked for, as JSON values."""
        how = asdict(self.search)
        del how["num_threads"]
        return {
            "bank": str(self.plan.bank.path),
            "training_images": len(self.plan.allowed),
            "selection": str(self.selection),
            "validation_images": len(self.records),
            "composition": self.composition,
            **how,
        }

    def to_json(self) -> dict[str, Any]:
        """Settings, notes and lines as JSON values; None where there is no number."""
        return {
            "settings": self.settings,
            "notes": list(self.plan.notes),
            "lines": [line_json(line) for line in self.lines],
        }


def line_json(line: Line) -> dict[str, Any]:
    """A line as JSON values; None where there is no number."""
    numbers = {
        "similarity": line.similarity,
        "seconds": line.seconds,
        **line.values,
        **{f"{name}_change": change for name, change in line.changes.items()},
    }
    return {
        "reconstruction": line.row.kind,
        "layer": line.row.layer,
        "top_k": line.row.searched or None,
        "against": line.against,
        **{name: None if math.isnan(number) else number for name, number in numbers.items()},
    }
