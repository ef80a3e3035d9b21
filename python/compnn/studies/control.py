"""Property control: what the answer becomes when only some of the training images may be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.bank.bank import Bank, QueryImage
from compnn.bank.selection import Selection
from compnn.errors import SearchError
from compnn.explanation.explanation import Explanation
from compnn.explanation.query import Query
from compnn.explanation.scores import Scores, score
from compnn.images.palette import Palette

UNRESTRICTED = "all images"
"""Title of the explanation that all training images may be used for."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Control:
    """One query explained with several subsets of the training images, to see what they change.

    Every mapping has the title of the subset as key; `UNRESTRICTED` comes first.

    Attributes
    ----------
    explanations
        Of the query at one layer.
    scores
        What is measured of them.
    images
        Number of training images in the subset.
    statistics
        What the output reconstruction holds, float64 (len(quantities),): the mean colour of a
        photo (0..255), or the share of each class, in [0, 1], of a label map without its void.
    network_statistics
        The same of the network's output.
    quantities
        What each number of the statistics is: red, green, blue, or the names of the classes.
    region
        Class of the query's label map that the statistics are of; None for the whole image.
    target
        True target of the query, of the network's size: photo (H, W, 3) or label map (H, W).
    """

    explanations: dict[str, Explanation]
    scores: dict[str, Scores]
    images: dict[str, int]
    statistics: dict[str, Values]
    network_statistics: Values
    quantities: tuple[str, ...]
    region: str | None = None
    target: npt.NDArray[np.uint8] | None = None

    @property
    def unrestricted(self) -> Explanation:
        """The explanation that all training images may be used for."""
        return self.explanations[UNRESTRICTED]

    def change(self, title: str) -> Values:
        """How much the statistics differ from the unrestricted ones."""
        change: Values = self.statistics[title] - self.statistics[UNRESTRICTED]
        return change

    def similarity_change(self, title: str) -> float:
        """How much the mean similarity differs from the unrestricted one: at most 0 if exact."""
        return self.scores[title].similarity - self.scores[UNRESTRICTED].similarity

    def to_json(self) -> dict[str, Any]:
        """The numbers, and the images that were searched and used, as JSON values."""
        return {
            "layer": self.unrestricted.layer.name,
            "region": self.region,
            "network_output": self._named(self.network_statistics),
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

    def _named(self, values: Values) -> dict[str, float]:
        return dict(zip(self.quantities, values.tolist(), strict=True))


def control(
    bank: Bank,
    image: QueryImage,
    layer: str,
    subsets: Mapping[str, Selection],
    *,
    region: str | None = None,
    top_k: int | None = None,
    progress: Callable[[str, float], None] | None = None,
    **options: Any,
) -> Control:
    """Explain one query with all training images, and with each of several subsets of them.

    Parameters
    ----------
    bank
        The bank.
    image
        uint8 RGB (H, W, 3) of the network's size, the path of an image file, or a `Query`.
    layer
        A layer of the bank.
    subsets
        The choices of training images, by their titles.
    region
        Measure only the pixels of this class in the query, whose inputs must be label maps then.
    top_k
        Search only the k nearest images of each subset; all of a smaller one. Default: all.
    progress
        Called as `progress(title, share)`, share in [0, 1].
    **options
        `method`, `effort`, `seed` ...: see `Bank.explain`.

    Raises
    ------
    SearchError
        If there is no subset, one of them is empty or asks for what the bank does not have, or
        the query has no `region`.
    CompnnError
        As `Bank.explain`.

    Examples
    --------
    >>> walls = control(bank, "1.jpg", "decoder_2", subsets_by(bank, "wall"), region="facade")
    >>> walls.change("wall=orange").round()  # in red, green and blue
    array([ 27.,  15.,   2.])
    """
    if not subsets or UNRESTRICTED in subsets:
        raise SearchError(
            f"give at least one subset of the training images, and none called {UNRESTRICTED!r}"
        )
    chosen = {UNRESTRICTED: list(range(len(bank)))}
    chosen |= {title: selection.select(bank) for title, selection in subsets.items()}
    reading = bank.run(image, [layer])
    pixels = _pixels_of(region, reading.image, bank.input_palette)
    target = image.target if isinstance(image, Query) else None
    if target is not None:
        target = bank.model.preprocessing.fit(target)
    palette = bank.target_palette
    explanations = {}
    for title, candidates in chosen.items():
        explanations[title] = bank.explain(
            reading,
            layer,
            candidates=candidates,
            top_k=None if top_k is None else min(top_k, len(candidates)),
            progress=None if progress is None else _titled(progress, title),
            **options,
        )
        if progress is not None:
            progress(title, 1)  # what takes no time may not have told
    return Control(
        explanations,
        {title: score(each, target) for title, each in explanations.items()},
        {title: len(candidates) for title, candidates in chosen.items()},
        {title: _statistics(each.output, palette, pixels) for title, each in explanations.items()},
        _statistics(reading.painted, palette, pixels),
        ("red", "green", "blue") if palette is None else palette.classes,
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


def _titled(progress: Callable[[str, float], None], title: str) -> Callable[[str, float], None]:
    return lambda _, share: progress(title, share)


def _pixels_of(
    region: str | None, query: npt.NDArray[np.uint8], palette: Palette | None
) -> npt.NDArray[np.bool_]:
    """The pixels of a class of the query, bool (H, W); all pixels for None."""
    if region is None:
        return np.ones(query.shape[:2], np.bool_)
    if palette is None:
        raise SearchError(
            f"the region {region!r} cannot be found in the query, which is a photo; measure the "
            f"whole image, or build the bank with label maps as inputs (`--input-palette`)"
        )
    if region not in palette.classes:
        raise SearchError(f"there is no class {region!r}; the classes are {_words(palette)}")
    pixels: npt.NDArray[np.bool_] = palette.quantise(query) == palette.classes.index(region)
    if not pixels.any():
        raise SearchError(f"the query has no pixel of the class {region!r}; choose another region")
    return pixels


def _words(palette: Palette) -> str:
    return ", ".join(palette.classes)


def _statistics(
    output: npt.NDArray[np.uint8], palette: Palette | None, pixels: npt.NDArray[np.bool_]
) -> Values:
    """The mean colour of a photo, float64 (3,), or the class shares of a label map, (C,)."""
    if palette is None:
        mean: Values = output[pixels].mean(axis=0, dtype=np.float64)
        return mean
    counts = np.bincount(output[pixels], minlength=256)[: len(palette)]
    shares: Values = counts / max(1, counts.sum())
    return shares
