"""Explaining one image of a validation set in all the ways of a plan, and measuring each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.data.dataset import Pair
from compnn.explanation.composition import Composition
from compnn.explanation.query import Query
from compnn.studies.evaluation.comparison import Observation
from compnn.studies.evaluation.plan import Plan
from compnn.studies.evaluation.record import Measured, Record
from compnn.studies.evaluation.rows import Against, Row

Picture = npt.NDArray[np.uint8]


class Measuring:
    """Measures the pairs of a validation set, one at a time.

    Parameters
    ----------
    plan
        What is measured.
    composition, search
        As in `Bank.explain`.
    """

    def __init__(self, plan: Plan, composition: Composition, search: Mapping[str, Any]) -> None:
        self._plan = plan
        self._how: dict[str, Any] = {
            **search,
            "candidates": plan.allowed,
            "composition": composition,
            # Called now and then from inside a search: there Ctrl-C ends it.
            "progress": lambda layer, share: None,
        }

    def fit(self, pair: Pair) -> Pair:
        """The pair at the network's size.

        Raises
        ------
        ImageError
            If it has another size and images are not resized, naming the pair.
        """
        model = self._plan.bank.model
        model.check_image(pair.input, pair.name)
        fit = model.preprocessing.fit
        return Pair(pair.name, fit(pair.input), fit(pair.target))

    def measure(self, pair: Pair) -> Record:
        """Measure a pair of the network's size.

        Raises
        ------
        CompnnError
            What `Bank.run` and `Bank.explain` raise.
        """
        plan, bank = self._plan, self._plan.bank
        query = Query(pair.name, pair.input, None, pair.name)
        reading = bank.run(query, plan.taps)
        truths = {"target": pair.target, "network": reading.painted, "input": reading.image}

        def observe(row: Row, picture: Picture) -> dict[Against, Observation]:
            return {
                against: plan.comparison(against).observe(truths[against], picture)
                for against in row.against
            }

        baseline = Row("network")
        measured = {baseline: Measured(observe(baseline, reading.painted))}
        for layer in plan.nearest_by:
            row = plan.global_row(layer)
            start = time.perf_counter()
            nearest = bank.nearest(reading, among=plan.allowed, layer=layer)[0]
            seconds = time.perf_counter() - start
            picture = bank.pair(nearest.index)[1]
            measured[row] = Measured(observe(row, picture), nearest.similarity, seconds)
        for layer, top_k in plan.searches():
            start = time.perf_counter()
            found = bank.explain(reading, layer, top_k=top_k, **self._how)
            seconds = time.perf_counter() - start
            similarity = found.field.mean_similarity
            used = {source.index: source.pixels for source in found.sources()}
            row = Row("OR", layer, top_k)
            measured[row] = Measured(observe(row, found.output), similarity, seconds, used)
            row = Row("IR", layer, top_k)
            measured[row] = Measured(observe(row, found.input), similarity, seconds)
        return Record(pair.name, {str(row): each for row, each in measured.items()})
