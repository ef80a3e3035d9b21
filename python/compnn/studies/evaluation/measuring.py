"""Explaining one image of a validation set in all the ways of a plan, and measuring each."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from compnn.data.dataset import Pair
from compnn.explanation.composition import Composition
from compnn.explanation.explainer import Explainer
from compnn.explanation.query import Query
from compnn.images.kinds import Picture
from compnn.images.measures import Observation
from compnn.network.network import fit_target
from compnn.search.search import Search
from compnn.studies.evaluation.plan import Plan
from compnn.studies.evaluation.record import Measured, Record
from compnn.studies.evaluation.rows import Against, Row


class Measuring:
    """Measures the pairs of a validation set, one at a time.

    Parameters
    ----------
    explainer
        The bank and its network.
    plan
        What is measured.
    search, composition
        As in `Explainer.explain`.
    """

    def __init__(
        self, explainer: Explainer, plan: Plan, search: Search, composition: Composition
    ) -> None:
        self._explainer = explainer
        self._plan = plan
        self._search = search
        self._composition: Composition = composition

    def fit(self, pair: Pair) -> Pair:
        """The pair at the network's size.

        Raises
        ------
        ImageError
            If it has another size and images are not resized, naming the pair.
        """
        network, bank = self._explainer.network, self._explainer.bank
        network.check_image(pair.input, pair.name)
        image = network.fit(pair.input, bank.input_kind)
        target = fit_target(network, pair.target, image, bank.target_kind, pair.name)
        return Pair(pair.name, image, target)

    def measure(self, pair: Pair) -> Record:
        """Measure a pair of the network's size.

        Raises
        ------
        CompnnError
            What `Explainer` raises.
        """
        plan, explainer = self._plan, self._explainer
        reading = explainer.read(Query(pair.name, pair.input, None, pair.name), plan.taps)
        truths: dict[Against, Picture] = {"target": pair.target, "input": reading.image}
        if reading.painted is not None:
            truths["network"] = reading.painted

        def observe(
            row: Row, picture: Picture, nothing: npt.NDArray[np.bool_] | None = None
        ) -> dict[Against, Observation]:
            return {
                against: plan.comparison(against).observe(truths[against], picture, nothing)
                for against in plan.against(row)
            }

        measured = {}
        if reading.painted is not None:
            baseline = Row("network")
            measured[baseline] = Measured(observe(baseline, reading.painted))
        for layer in plan.nearest_by:
            row = plan.global_row(layer)
            start = time.perf_counter()
            nearest = explainer.nearest(reading, among=plan.allowed, layer=layer)[0]
            seconds = time.perf_counter() - start
            # Where images have many sizes, the nearest one is brought to that of the query.
            size = pair.target.shape[0], pair.target.shape[1]
            picture = plan.training.target_kind.fit(explainer.bank.pair(nearest.index)[1], size)
            measured[row] = Measured(observe(row, picture), nearest.similarity, None, seconds)
        for layer, top_k in plan.searches():
            start = time.perf_counter()
            found = explainer.explain(
                reading,
                layer,
                self._search,
                top_k=top_k,
                among=plan.allowed,
                composition=self._composition,
                progress=_nothing,
            )
            seconds = time.perf_counter() - start
            similarity = found.field.mean_similarity
            used = {source.index: source.pixels for source in found.sources()}
            row = Row("OR", layer, top_k)
            nothing = found.no_evidence
            seen, share = observe(row, found.output, nothing), float(nothing.mean())
            measured[row] = Measured(seen, similarity, share, seconds, used)
            row = Row("IR", layer, top_k)
            nothing = found.input_no_evidence
            seen, share = observe(row, found.input, nothing), float(nothing.mean())
            measured[row] = Measured(seen, similarity, share, seconds)
        return Record(pair.name, {str(row): each for row, each in measured.items()})


def _nothing(share: float) -> None:
    """Called now and then from inside a search: there Ctrl-C ends it."""
