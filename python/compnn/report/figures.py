"""The paper's figures, drawn from a bank and validation pairs of one's own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from compnn.bank.bank import Bank
from compnn.data.dataset import Dataset
from compnn.errors import DatasetError, SearchError
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Explanation
from compnn.explanation.query import Query
from compnn.explanation.scores import score
from compnn.images.kinds import Labels
from compnn.network.layer import Layer
from compnn.network.network import fit_target
from compnn.report.facts import search_words
from compnn.report.sheets.control_sheet import control_sheet
from compnn.report.sheets.correspondence_map import correspondence_map
from compnn.report.sheets.matches import match_sheet
from compnn.report.sheets.reconstruction_grid import GridRow, Side, reconstruction_grid
from compnn.search.search import Auto, Search
from compnn.studies.control import control, subsets_by
from compnn.studies.matching import match
from compnn.studies.validation import check_kinds

FigureName = Literal[
    "input-reconstructions",
    "output-reconstructions",
    "correspondence-map",
    "semantic-matches",
    "property-control",
]
"""The paper's Figures 5, 6, 7, 8a and 8b."""
FIGURES: tuple[FigureName, ...] = get_args(FigureName)
TOP_K = 16
COUNT = 4

# Patches of at least this many pixels can be told apart in a map and joined by lines.
_VISIBLE_PATCH = 8


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure as it is drawn.

    Attributes
    ----------
    name
        One of `FIGURES`.
    image
        The validation image that it is of, where there is a figure for each; else None.
    pixels
        (height, width, 3) uint8 RGB, at most 2600 pixels wide.
    search
        How it was searched; what `Auto` has chosen.
    """

    name: FigureName
    image: str | None
    pixels: npt.NDArray[np.uint8]
    search: str


class Figures:
    """What can be drawn of a bank and validation pairs; `draw` does it.

    Parameters
    ----------
    explainer
        The bank that is searched, and its network.
    dataset
        The validation pairs, of the bank's kinds.
    search
        How to search. Default: what `Auto()` chooses, once for all reconstructions.
    figures
        Which of `FIGURES`. Default: all that the bank and the images allow.
    images
        Names of validation images. Default: `count` of them, evenly spread over the dataset.
    count
        Number of images when none are named; all are taken where there are fewer.
    layers
        Layers of the bank. Default: all. The correspondence map is of the last one, in the
        network's order, whose patches have 8 pixels or more, the property control of the last one.
    top_k
        Search only this many nearest training images; None for all.
    by
        Attribute whose values the property control compares. Default: the first one of which the
        bank's images have several values.
    match_layer
        Layer of the semantic matches, which may be any tap of the network. Default: chosen from
        the bank's layers as for the correspondence map; if their patches are all smaller, from all
        taps of the network.

    Attributes
    ----------
    names : the figures that will be drawn
    images : the names of the images that they will be of
    left_out : why the other figures cannot be drawn, by figure

    Raises
    ------
    SearchError
        If there is no such figure, or one that was named (or for which `by` was) cannot be drawn.
    DatasetError
        If there are no such images, or the dataset's kinds are not the bank's.
    LayerError
        If there is no such layer.

    Examples
    --------
    >>> pairs = SideBySide("facades/val", target_kind=Labels("facades"))
    >>> figures = Figures(Explainer("facades.bank"), pairs)
    >>> for figure in figures.draw():
    ...     write_image(f"{figure.name}.png", figure.pixels)
    """

    def __init__(
        self,
        explainer: Explainer,
        dataset: Dataset,
        search: Search | None = None,
        *,
        figures: Sequence[str] | None = None,
        images: Sequence[str] | None = None,
        count: int = COUNT,
        layers: Sequence[str] | None = None,
        top_k: int | None = TOP_K,
        by: str | None = None,
        match_layer: str | None = None,
    ) -> None:
        bank = explainer.bank
        check_kinds(bank, dataset)
        if top_k is not None and bank.descriptor is None:
            raise SearchError(
                f"the bank {bank.path} has no global descriptors to choose the {top_k} nearest "
                f"images by; search all of them (`--top-k all`)"
            )
        self._explainer, self._bank, self._dataset = explainer, bank, dataset
        self._search = Auto() if search is None else search
        self._top_k = top_k if top_k is None else min(top_k, len(bank))
        self.images = _images(dataset, images, count)
        self._layers = _in_network_order(explainer, layers)
        network = explainer.network
        self._match_layer = network.layer(match_layer) if match_layer else self._layer_to_match()
        self._by = by or _first_attribute(bank)
        self.names, self.left_out = self._choose(figures, by)
        self._subsets = subsets_by(bank, self._by or "") if self._draws("property-control") else {}
        self._explanations: dict[str, dict[str, Explanation]] = {}

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are shown, in the order in which the network computes them."""
        return tuple(layer.name for layer in self._layers)

    @property
    def top_k(self) -> int | None:
        """Number of nearest training images that are searched; None for all."""
        return self._top_k

    def draw(self, progress: Callable[[int, int], None] | None = None) -> Iterator[Figure]:
        """Draw the figures one after the other.

        Parameters
        ----------
        progress
            Called as `progress(done, total)`, counting searches.

        Raises
        ------
        CompnnError
            What `Explainer.explain`, `control`, `match` and the dataset raise.
        """
        done, total = 0, self._searches()

        def step(searches: int = 1) -> None:
            nonlocal done
            done += searches
            if progress is not None:
                progress(done, total)

        step(0)
        self._explanations = {}
        for name in self.names:
            if name == "semantic-matches":
                yield self._semantic_matches()
                step()
            elif name == "property-control":
                yield self._property_control()
                step(1 + len(self._subsets))
            elif name == "correspondence-map":
                for image in self.images:
                    explanation = self._explain(image, step)[self._map_layer.name]
                    of_image = None if len(self.images) == 1 else image
                    sheet = correspondence_map(explanation)
                    yield Figure(name, of_image, sheet, str(explanation.search))
            else:
                side: Side = "input" if name == "input-reconstructions" else "output"
                rows = [self._row(image, step) for image in self.images]
                words = search_words(self._explanations[self.images[0]])
                yield Figure(name, None, reconstruction_grid(rows, side, note=self._note()), words)

    def _choose(
        self, figures: Sequence[str] | None, by: str | None
    ) -> tuple[tuple[FigureName, ...], dict[FigureName, str]]:
        """The figures to draw, and why others cannot be."""
        for name in figures or ():
            if name not in FIGURES:
                raise SearchError(f"there is no figure {name!r}; there are {', '.join(FIGURES)}")
        reasons: dict[FigureName, str] = {}
        if len(self.images) < 2:
            reasons["semantic-matches"] = "it needs two validation images, and there is one"
        if not self._bank.attributes:
            reasons["property-control"] = (
                "the bank's images have no attributes to choose by (`compnn build --attributes`)"
            )
        elif self._by is None:
            reasons["property-control"] = "the bank's images have no attribute with two values"
        wanted = figures or (["property-control"] if by else [])
        for name, reason in reasons.items():
            if name in wanted:
                raise SearchError(f"the figure {name} cannot be drawn: {reason}")
        chosen = [name for name in FIGURES if name in (figures or FIGURES)]
        return (
            tuple(name for name in chosen if name not in reasons),
            {name: reason for name, reason in reasons.items() if name in chosen},
        )

    def _draws(self, *names: FigureName) -> bool:
        return any(name in self.names for name in names)

    def _searches(self) -> int:
        searches = 0
        if self._draws("input-reconstructions", "output-reconstructions", "correspondence-map"):
            searches += len(self.images) * len(self._needed)
        if self._draws("property-control"):
            searches += 1 + len(self._subsets)
        return searches + self._draws("semantic-matches")

    @property
    def _needed(self) -> list[str]:
        """The layers at which the images are explained."""
        if self._draws("input-reconstructions", "output-reconstructions"):
            return list(self.layers)
        return [self._map_layer.name]

    @property
    def _map_layer(self) -> Layer:
        return _last_visible(self._layers) or self._layers[-1]

    def _layer_to_match(self) -> Layer:
        everything = _in_network_order(self._explainer, None)
        taps = self._explainer.network.taps()
        return _last_visible(everything) or _last_visible(taps) or everything[-1]

    @cached_property
    def _resolved(self) -> Search:
        """The one search of all reconstructions, so that they can be compared."""
        return self._explainer.resolved(self._search, self._needed, top_k=self._top_k)

    def _query(self, name: str) -> Query:
        """A validation image, with its target at the network's size."""
        pair = self._dataset[self._dataset.names.index(name)]
        network, bank = self._explainer.network, self._bank
        network.check_image(pair.input, name)
        image = network.fit(pair.input, bank.input_kind)
        target = fit_target(network, pair.target, image, bank.target_kind, name)
        return Query(name, image, target, name)

    def _explain(self, name: str, step: Callable[[], None]) -> dict[str, Explanation]:
        """The explanations of an image by layer, which all figures share."""
        if name not in self._explanations:
            # The activations, which are large, are kept only until all layers are searched.
            reading = self._explainer.read(self._query(name), self._needed)
            found = {}
            for layer in self._needed:
                found[layer] = self._explainer.explain(
                    reading, layer, self._resolved, top_k=self._top_k
                )
                step()
            self._explanations[name] = found
        return self._explanations[name]

    def _row(self, name: str, step: Callable[[], None]) -> GridRow:
        explanations = list(self._explain(name, step).values())
        target = self._query(name).target
        return GridRow(name, explanations, [score(each, target) for each in explanations], target)

    def _note(self) -> str:
        count = len(self._bank)
        searched = (
            f"all {count}" if self._top_k is None else f"the {self._top_k} nearest of {count}"
        )
        return f"Searched: {searched} training images."

    def _semantic_matches(self) -> Figure:
        a, b = self.images[:2]
        kind = self._bank.target_kind
        matching = match(
            self._explainer.network,
            self._query(a),
            self._query(b),
            self._match_layer.name,
            self._search,
            palette=kind.palette if isinstance(kind, Labels) else None,
            num_threads=self._explainer.num_threads,
        )
        sheet = match_sheet(matching, names=(f"A: {a}", f"B: {b}"))
        return Figure("semantic-matches", None, sheet, str(matching.search))

    def _property_control(self) -> Figure:
        name = self.images[0]
        found = control(
            self._explainer,
            self._query(name),
            self.layers[-1],
            self._subsets,
            self._search,
            top_k=self._top_k,
        )
        sheet = control_sheet(found, title=name)
        return Figure("property-control", None, sheet, str(found.search))


def _images(dataset: Dataset, images: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """The images that were named, or `count` evenly spread ones."""
    if images:
        return tuple(dict.fromkeys(_known_name(dataset, image) for image in images))
    if not len(dataset):
        raise DatasetError("there are no validation pairs; give a dataset with some")
    if count < 1:
        raise DatasetError(f"the number of images must be at least 1, not {count}")
    count = min(count, len(dataset))
    return tuple(dataset.names[place * len(dataset) // count] for place in range(count))


def _known_name(dataset: Dataset, name: str) -> str:
    """A name of the dataset, which may be given with its extension."""
    for known in (name, str(Path(name).with_suffix(""))):
        if known in dataset.names:
            return known
    nearest = difflib.get_close_matches(name, dataset.names, n=3) or dataset.names[:3]
    raise DatasetError(
        f"there is no validation image {name!r}; there are, for example, {', '.join(nearest)}"
    )


def _in_network_order(explainer: Explainer, names: Sequence[str] | None) -> list[Layer]:
    """Layers of the bank in the order in which the network computes them."""
    bank = explainer.bank
    order = {tap.name: place for place, tap in enumerate(explainer.network.taps())}
    layers = [bank.layer(name) for name in dict.fromkeys(names or bank.layers)]
    return sorted(layers, key=lambda layer: order.get(layer.name, -1))


def _last_visible(layers: Sequence[Layer]) -> Layer | None:
    """The last layer whose patches are large enough to be seen."""
    visible = [layer for layer in layers if min(layer.patch) >= _VISIBLE_PATCH]
    return visible[-1] if visible else None


def _first_attribute(bank: Bank) -> str | None:
    """The first attribute of which the images have several values."""
    values: dict[str, set[str]] = {}
    for attributes in bank.attributes.values():
        for key, value in attributes.items():
            values.setdefault(key, set()).add(value)
    return next((key for key, found in values.items() if len(found) > 1), None)
