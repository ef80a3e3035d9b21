"""The result of an evaluation: the table, the table of each image, and what was used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from compnn.bank.selection import Selection
from compnn.explanation.composition import Composition
from compnn.explanation.explainer import Among
from compnn.search.search import Search, search_json
from compnn.studies.evaluation.lines import Line, lines_of
from compnn.studies.evaluation.plan import Plan
from compnn.studies.evaluation.record import Record
from compnn.studies.evaluation.rows import Row
from compnn.studies.usage import Usage, UsageCounter


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The measurements of a validation set, see `compnn.studies.evaluation.evaluate`: a value.

    It can be pickled, and needs neither the bank nor the folder.

    Attributes
    ----------
    plan
        What was measured, and notes about what was left out.
    records
        The measurements of each image, in the order of the dataset.
    selection
        Which training images could be used, in words.
    composition
        As it was given.
    search
        How all was searched; what `Auto` has chosen.
    """

    plan: Plan
    records: tuple[Record, ...]
    selection: str
    composition: Composition
    search: Search

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """The table over all images; the first line is that of the network, if it has an output."""
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
        training = self.plan.training
        for layer, top_k in self.plan.searches():
            row = Row("OR", layer, top_k)
            counter = UsageCounter(training.names, training.attributes, self.plan.allowed)
            for record in self.records:
                counter.add_pixels(record.rows[str(row)].used)
            usages[row] = counter.usage()
        return usages

    def line(self, row: Row) -> Line:
        """The line of a row against its first truth: the true target, or the query (IR)."""
        return next(line for line in self.lines if line.row == row)

    @property
    def settings(self) -> dict[str, object]:
        """What was measured, and how, as JSON values."""
        return {
            "bank": str(self.plan.training.path),
            "training_images": len(self.plan.allowed),
            "selection": self.selection,
            "validation_images": len(self.records),
            "composition": self.composition,
            "search": search_json(self.search),
            "search_words": str(self.search),
        }

    def to_json(self) -> dict[str, object]:
        """Settings, notes and lines as JSON values; None where there is no number."""
        return {
            "settings": self.settings,
            "notes": list(self.plan.notes),
            "lines": [line_json(line) for line in self.lines],
        }


def selection_words(among: Among) -> str:
    """Which training images may be used, in words."""
    if isinstance(among, str):
        among = Selection(where=(among,))
    if among is None or isinstance(among, Selection):
        return str(among or Selection())
    return f"{len(set(among))} chosen images"


def line_json(line: Line) -> dict[str, object]:
    """A line as JSON values; None where there is no number."""
    numbers = {
        "similarity": line.similarity,
        "no_evidence": line.no_evidence,
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
