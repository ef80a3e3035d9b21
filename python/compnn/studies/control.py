"""Property control: what the answer becomes when only some of the training images may be used."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from compnn.bank.bank import Bank
from compnn.bank.selection import Selection
from compnn.errors import SearchError
from compnn.explanation.composition import Composition
from compnn.explanation.explainer import Explainer, QueryImage
from compnn.explanation.explanation import Explanation
from compnn.explanation.query import Query
from compnn.explanation.scores import Scores, score
from compnn.images.kinds import Kind, Labels, Picture, Values
from compnn.network.network import fit_target
from compnn.search.search import Auto, Search, search_json
from compnn.views import Shown

UNRESTRICTED = "all images"
"""Title of the explanation that all training images may be used for."""

Statistics: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Control(Shown):
    """One query explained with several subsets of the training images, to see what they change.

    Every mapping has the title of the subset as key; `UNRESTRICTED` comes first.

    Attributes
    ----------
    explanations
        Of the query at one layer, all by one search.
    scores
        What is measured of them.
    images
        Number of training images in the subset.
    statistics
        What the output reconstruction holds, float64 (len(quantities),): the mean colour of a
        photo (0..255), the share of each class, in [0, 1], of a label map without its void, or the
        mean of values.
    network_statistics
        The same of the network's output; None where it has none.
    quantities
        What each number of the statistics is: red, green, blue; the names of the classes; or mean.
    region
        Class of the query's label map that the statistics are of; None for the whole image.
    target
        True target of the query, of its kind and the network's size.
    """

    explanations: dict[str, Explanation]
    scores: dict[str, Scores]
    images: dict[str, int]
    statistics: dict[str, Statistics]
    network_statistics: Statistics | None
    quantities: tuple[str, ...]
    region: str | None = None
    target: Picture | None = None

    @property
    def unrestricted(self) -> Explanation:
        """The explanation that all training images may be used for."""
        return self.explanations[UNRESTRICTED]

    @property
    def search(self) -> Search:
        """How all of them were searched; what `Auto` has chosen."""
        return self.unrestricted.search

    def change(self, title: str) -> Statistics:
        """How much the statistics differ from the unrestricted ones."""
        change: Statistics = self.statistics[title] - self.statistics[UNRESTRICTED]
        return change

    def similarity_change(self, title: str) -> float:
        """How much the mean similarity differs from the unrestricted one: at most 0 if exact."""
        return self.scores[title].similarity - self.scores[UNRESTRICTED].similarity

    def to_json(self) -> dict[str, object]:
        """The numbers, and the images that were searched and used, as JSON values."""
        return {
            "layer": self.unrestricted.layer.name,
            "search": search_json(self.search),
            "region": self.region,
            "network_output": (
                None if self.network_statistics is None else self._named(self.network_statistics)
            ),
            "subsets": [
                {
                    "subset": title,
                    "images": self.images[title],
                    "candidates": len(explanation.candidates),
                    **self.scores[title].to_json(),
                    "similarity_change": self.similarity_change(title),
                    "statistics": self._named(self.statistics[title]),
                    "change": self._named(self.change(title)),
                    "sources": [
                        {**asdict(source), "attributes": dict(source.attributes)}
                        for source in explanation.sources()
                    ],
                }
                for title, explanation in self.explanations.items()
            ],
        }

    def _named(self, values: Statistics) -> dict[str, float]:
        return dict(zip(self.quantities, values.tolist(), strict=True))


def control(
    explainer: Explainer,
    image: QueryImage,
    layer: str,
    subsets: Mapping[str, Selection],
    search: Search | None = None,
    *,
    region: str | None = None,
    top_k: int | None = None,
    composition: Composition = "copy",
    progress: Callable[[str, float], None] | None = None,
) -> Control:
    """Explain one query with all training images, and with each of several subsets of them.

    Parameters
    ----------
    explainer
        The bank and its network.
    image
        As in `Explainer.explain`.
    layer
        A layer of the bank.
    subsets
        The choices of training images, by their titles.
    search
        How to search, alike for all subsets. Default: what `Auto()` chooses for all images.
    region
        Measure only the pixels of this class in the query, whose inputs must be label maps then.
    top_k
        Search only the k nearest images of each subset; all of a smaller one. Default: all.
    composition
        As in `Explainer.explain`.
    progress
        Called as `progress(title, share)`, share in [0, 1]; an exception ends the search.

    Raises
    ------
    SearchError
        If there is no subset, one of them is empty or asks for what the bank does not have, or
        the query has no `region`.
    CompnnError
        As `Explainer.explain`.

    Examples
    --------
    >>> walls = control(explainer, "1.jpg", "decoder_2", subsets_by(bank, "wall"), region="facade")
    >>> walls.change("wall=orange").round()  # in red, green and blue
    array([ 27.,  15.,   2.])
    """
    if not subsets or UNRESTRICTED in subsets:
        raise SearchError(
            f"give at least one subset of the training images, and none called {UNRESTRICTED!r}"
        )
    # Whatever is put into the bank or dropped meanwhile, indices stay those of the same images.
    bank = copy.copy(explainer.bank)
    explainer = Explainer(bank, explainer.network, num_threads=explainer.num_threads)
    chosen = {UNRESTRICTED: explainer.indices(None)}
    chosen |= {title: explainer.indices(selection) for title, selection in subsets.items()}
    reading = explainer.read(image, [layer])
    pixels = _pixels_of(region, reading.image, bank.input_kind)
    target = None
    if isinstance(image, Query) and image.target is not None:
        network, kind = explainer.network, bank.target_kind
        target = fit_target(network, image.target, reading.image, kind, image.file)
    how = explainer.resolved(search or Auto(), [layer], None, top_k)
    explanations: dict[str, Explanation] = {}
    for title, among in chosen.items():
        explanations[title] = explainer.explain(
            reading,
            layer,
            how,
            top_k=None if top_k is None else min(top_k, len(among)),
            among=among,
            composition=composition,
            progress=None if progress is None else _titled(progress, title),
        )
        if progress is not None:
            progress(title, 1)  # what takes no time may not have told
    shown = explanations[UNRESTRICTED].layer.pixels_seen()
    pixels = pixels[np.ix_(*shown)]
    if not pixels.any():
        raise SearchError(
            f"the region {region!r} lies where the network paints nothing; choose another"
        )
    return Control(
        explanations,
        {title: score(each, target) for title, each in explanations.items()},
        {title: len(among) for title, among in chosen.items()},
        {
            title: _statistics(each.output, bank.target_kind, pixels)
            for title, each in explanations.items()
        },
        (
            None
            if reading.painted is None
            else _statistics(reading.painted, bank.target_kind, pixels)
        ),
        _quantities(bank.target_kind),
        region,
        target,
    )


def subsets_by(bank: Bank, attribute: str) -> dict[str, Selection]:
    """A subset for each value of an attribute, titled `key=value`; largest first.

    Raises
    ------
    SearchError
        If no image has the attribute.
    """
    counts: dict[str, int] = {}
    for name in bank.names:
        value = bank.attributes.get(name, {}).get(attribute)
        if value is not None:
            counts[value] = counts.get(value, 0) + 1
    # Without any value, the selection says which attributes there are.
    conditions = [f"{attribute}={value}" for value in sorted(counts, key=lambda one: -counts[one])]
    if not conditions:
        Selection(where=(f"{attribute}=*",)).select(bank)
    return {condition: Selection(where=(condition,)) for condition in conditions}


def _titled(progress: Callable[[str, float], None], title: str) -> Callable[[float], None]:
    return lambda share: progress(title, share)


def _pixels_of(
    region: str | None, query: npt.NDArray[np.uint8], kind: Kind
) -> npt.NDArray[np.bool_]:
    """The pixels of a class of the query, bool (H, W); all pixels for None."""
    if region is None:
        return np.ones(query.shape[:2], np.bool_)
    if not isinstance(kind, Labels):
        raise SearchError(
            f"the region {region!r} cannot be found in the query, which is {kind.describe_one()}; "
            f"measure the whole image, or build the bank with label maps as inputs "
            f"(`--input-palette`)"
        )
    classes = kind.palette.classes
    if region not in classes:
        raise SearchError(f"there is no class {region!r}; the classes are {', '.join(classes)}")
    pixels: npt.NDArray[np.bool_] = kind.labels(query) == classes.index(region)
    if not pixels.any():
        raise SearchError(f"the query has no pixel of the class {region!r}; choose another region")
    return pixels


def _quantities(kind: Kind) -> tuple[str, ...]:
    """What the statistics of a picture of this kind are."""
    if isinstance(kind, Labels):
        return kind.palette.classes
    return ("mean",) if isinstance(kind, Values) else ("red", "green", "blue")


def _statistics(picture: Picture, kind: Kind, pixels: npt.NDArray[np.bool_]) -> Statistics:
    """Class shares (C,) of a label map, the mean colour (3,) of a photo, or mean (1,) of values."""
    if isinstance(kind, Labels):
        counts = np.bincount(picture[pixels], minlength=256)[: len(kind.palette)]
        shares: Statistics = counts / max(1, counts.sum())
        return shares
    known = picture[pixels]
    if isinstance(kind, Values):
        known = known[np.isfinite(known)]  # nothing is known of pixels without a match
        if not len(known):
            return np.full(1, np.nan)
    mean: Statistics = np.atleast_1d(known.mean(axis=0, dtype=np.float64))
    return mean
