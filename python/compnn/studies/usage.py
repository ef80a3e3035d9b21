"""How much of which training image went into reconstructions: provenance, hubs and biases."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from compnn.bank.bank import Bank
from compnn.errors import SearchError
from compnn.explanation.explanation import Explanation
from compnn.files import make_folder, write_file
from compnn.names import csv_table


@dataclass(frozen=True)
class ImageUsage:
    """What a training image gave.

    Attributes
    ----------
    index, name
        The image in the bank.
    pixels
        Number of pixels that it gave.
    share
        The same as a share, in [0, 1], of the pixels of all queries.
    bank_share
        The share that it would have if all images that could be used were used alike: 1/N where
        those are the whole bank.
    ratio
        share / bank_share: 2 means twice as much as an average image; nan if it was never to be
        used.
    queries
        Number of queries that it was used in.
    """

    index: int
    name: str
    pixels: int
    share: float
    bank_share: float
    ratio: float
    queries: int


@dataclass(frozen=True)
class AttributeUsage:
    """What the training images with one value of an attribute gave; numbers as in `ImageUsage`.

    The images without the attribute have the value "", so that the shares of a key sum to 1.
    """

    key: str
    value: str
    pixels: int
    share: float
    bank_share: float
    ratio: float


@dataclass(frozen=True)
class Usage:
    """What each training image gave to the reconstructions of one or more queries.

    Pixels belong to the image of their owner, see `Explanation.provenance`.

    Attributes
    ----------
    images
        All images of the bank, most used first.
    attributes
        The values of each attribute, in the order of keys, most used first.
    pixels
        Pixels of all queries together that have a match.
    queries
        Number of queries.
    """

    images: tuple[ImageUsage, ...]
    attributes: tuple[AttributeUsage, ...]
    pixels: int
    queries: int

    @property
    def never_used(self) -> list[str]:
        """Names of the images of the bank that gave no pixel, in the bank's order."""
        unused = [image for image in self.images if not image.pixels]
        return [image.name for image in sorted(unused, key=lambda image: image.index)]

    def hubs(self, count: int = 10) -> list[ImageUsage]:
        """The `count` images that gave most, fewer if fewer gave any."""
        return [image for image in self.images[:count] if image.pixels]

    def to_json(self) -> dict[str, object]:
        """The fields, and `never_used`, as JSON values; a ratio that is nan is None."""
        document = {**asdict(self), "never_used": self.never_used}
        for row in (*document["images"], *document["attributes"]):
            if math.isnan(row["ratio"]):
                row["ratio"] = None
        return document

    def save_csv(self, folder: str | Path) -> list[Path]:
        """Write `images.csv` and `attributes.csv`; a ratio that is nan is left empty.

        The folder is made if need be; files of these names in it are replaced. Returns the paths.

        Raises
        ------
        OutputError
            If that fails; each file is written whole or not at all.
        """
        folder = make_folder(folder)
        tables = {
            folder / "images.csv": _csv(ImageUsage, self.images),
            folder / "attributes.csv": _csv(AttributeUsage, self.attributes),
        }
        for path, table in tables.items():
            write_file(path, table.encode())
        return list(tables)


def _csv(
    row: type[ImageUsage | AttributeUsage], rows: Iterable[ImageUsage | AttributeUsage]
) -> str:
    columns = [field.name for field in fields(row)]
    return csv_table(columns, ([getattr(each, column) for column in columns] for each in rows))


class UsageCounter:
    """Adds up what training images gave, query by query.

    Parameters
    ----------
    names
        Names of all images of the bank that is searched.
    attributes
        {name: {key: value}} of those that have any.
    among
        Indices of the images that could be used (a `Selection`'s). Shares are compared with
        theirs. Default: for each query the candidates that were searched; so with `top_k` the
        choice of the nearest images counts as given, and with `among` as part of the bias.

    Examples
    --------
    >>> counter = UsageCounter(bank.names, bank.attributes)
    >>> for pair in dataset:
    ...     counter.add(explainer.explain(pair.input, "decoder_2"))
    >>> counter.usage().hubs(3)
    """

    def __init__(
        self,
        names: Sequence[str],
        attributes: Mapping[str, Mapping[str, str]] | None = None,
        among: Collection[int] | None = None,
    ) -> None:
        self._names = tuple(names)
        self._attributes = attributes or {}
        self._among = None if among is None else _indices(among, len(self._names))
        self._pixels = np.zeros(len(self._names), np.int64)
        self._queries = np.zeros(len(self._names), np.int64)
        self._expected = np.zeros(len(self._names))
        self._count = 0

    def add(self, explanation: Explanation) -> None:
        """Count the pixels of an explanation.

        Raises
        ------
        SearchError
            If it is of a bank with other images.
        """
        if not self._is_of(explanation):
            raise SearchError(
                f"usage is counted for one bank, but this explanation is of {_origin(explanation)} "
                f"with other images; use another counter for it"
            )
        self.add_pixels(
            {source.index: source.pixels for source in explanation.sources()},
            [candidate.index for candidate in explanation.candidates],
        )

    def add_pixels(
        self, counts: Mapping[int, int], candidates: Collection[int] | None = None
    ) -> None:
        """Count the pixels, {index: pixels}, that images gave to one query.

        Pixels that have no match are of no image, and are not counted.

        Parameters
        ----------
        counts
            What `Explanation.sources` says of the query; kept, it can be counted again later.
        candidates
            Indices of the images that were searched. Default: all. Not used if the counter has
            `among`.

        Raises
        ------
        SearchError
            If there is no image of some index, or a number of pixels is negative.
        """
        used = _indices(counts, len(self._names)) if counts else []
        pixels = np.array([counts[index] for index in used], np.int64)
        if (pixels < 0).any():
            raise SearchError(f"an image cannot give {int(pixels.min())} pixels; give 0 or more")
        if self._among is not None:
            possible = self._among
        elif candidates is not None:
            possible = _indices(candidates, len(self._names))
        else:
            possible = list(range(len(self._names)))
        self._pixels[used] += pixels
        self._queries[used] += pixels > 0
        self._expected[possible] += int(pixels.sum()) / len(possible)
        self._count += 1

    def _is_of(self, explanation: Explanation) -> bool:
        images = explanation.images
        if isinstance(images, Bank):
            return images.names == self._names
        # A saved explanation has no names but of its sources and candidates.
        named = {each.index: each.name for each in explanation.candidates}
        named |= {each.index: each.name for each in explanation.sources()}
        known = dict(enumerate(self._names))
        return named.items() <= known.items()

    def usage(self) -> Usage:
        """What has been counted so far.

        Raises
        ------
        SearchError
            If nothing has.
        """
        if not self._count:
            raise SearchError("no pixels have been counted yet; add an explanation first")
        total = int(self._pixels.sum())
        bank_share = (self._expected / max(total, 1)).tolist()
        # Stable: images that gave as much stay in the bank's order.
        order = np.argsort(-self._pixels, kind="stable").tolist()
        pixels, queries = self._pixels.tolist(), self._queries.tolist()
        images = [
            ImageUsage(
                index,
                self._names[index],
                pixels[index],
                *_shares(pixels[index], total, bank_share[index]),
                queries[index],
            )
            for index in order
        ]
        return Usage(tuple(images), tuple(self._by_attribute(images)), total, self._count)

    def _by_attribute(self, images: Sequence[ImageUsage]) -> list[AttributeUsage]:
        total = sum(image.pixels for image in images)
        keys = sorted({key for name in self._names for key in self._attributes.get(name, {})})
        rows = []
        for key in keys:
            pixels: defaultdict[str, int] = defaultdict(int)
            bank_share: defaultdict[str, float] = defaultdict(float)
            for image in images:
                value = self._attributes.get(image.name, {}).get(key, "")
                pixels[value] += image.pixels
                bank_share[value] += image.bank_share
            for value in sorted(pixels, key=lambda value: (-pixels[value], value)):
                shares = _shares(pixels[value], total, bank_share[value])
                rows.append(AttributeUsage(key, value, pixels[value], *shares))
        return rows


def usage(
    explanations: Explanation | Iterable[Explanation], among: Collection[int] | None = None
) -> Usage:
    """What training images gave to one explanation, or to several of one bank.

    Parameters
    ----------
    explanations
        One for each query.
    among
        See `UsageCounter`.

    Raises
    ------
    SearchError
        If there are none, they are of banks with different images, or the first was loaded from a
        folder, where not all names are known.
    """
    counter = None
    for each in [explanations] if isinstance(explanations, Explanation) else explanations:
        if counter is None:
            bank = each.images
            if not isinstance(bank, Bank):
                raise SearchError(
                    f"the explanation saved in {bank.path} has the names of its sources only, not "
                    f"of all images of the bank; add it to a "
                    f"compnn.UsageCounter(bank.names, bank.attributes)"
                )
            counter = UsageCounter(bank.names, bank.attributes, among)
        counter.add(each)
    if counter is None:
        raise SearchError("there are no explanations whose usage could be counted; give some")
    return counter.usage()


def _origin(explanation: Explanation) -> str:
    images = explanation.images
    return f"{'the bank ' if isinstance(images, Bank) else ''}{images.path}"


def _shares(pixels: int, total: int, bank_share: float) -> tuple[float, float, float]:
    """(share, bank_share, ratio)."""
    share = pixels / max(total, 1)
    return share, bank_share, share / bank_share if bank_share else math.nan


def _indices(images: Iterable[int], count: int) -> list[int]:
    indices = sorted(set(images))
    if not indices or indices[0] < 0 or indices[-1] >= count:
        raise SearchError(
            f"usage is counted for training images 0 to {count - 1}, not for {indices}; "
            f"give at least one of these indices"
        )
    return indices
