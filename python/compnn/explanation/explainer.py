"""Explaining what a network painted: read the image, pack, search, put together."""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from compnn.bank.bank import Bank
from compnn.bank.selection import Selection
from compnn.errors import SearchError
from compnn.explanation.composition import Composition, check_composition
from compnn.explanation.explanation import Candidate, Explanation
from compnn.explanation.query import Query, read_query
from compnn.network.layer import Layer
from compnn.network.network import Network
from compnn.network.reading import Reading
from compnn.search.search import Auto, Exhaustive, HyperPatchMatch, Search

QueryImage: TypeAlias = npt.NDArray[np.uint8] | str | Path | Query | Reading
"""An image to explain: uint8 RGB (H, W, 3), the path of an image file, a `Query`, or what
`Explainer.read` returned."""

Among: TypeAlias = Selection | str | Sequence[int | str] | None
"""Which training images may be used: a `Selection`, a condition such as "wall=red", names or
indices; None for all."""


class Explainer:
    """Explains images with a bank and the network that it was built with.

    An explainer may be shared by threads, and pickled.

    Parameters
    ----------
    bank
        A `Bank`, or the path of one.
    network
        The network that the bank was built with, or its file. Default: the one that the bank
        remembers, looked for where it was, beside the bank, and in it.
    num_threads
        Threads of a search; -1 means all CPUs that this process may use. Changes no result.

    Raises
    ------
    BankError
        If there is no complete bank, or the network is another one or preprocesses in another way.
    NetworkError
        If the network's file cannot be found.

    Examples
    --------
    >>> explainer = compnn.Explainer("facades.bank")
    >>> result = explainer.explain("q.png", "decoder_2", compnn.Exhaustive(), top_k=16)
    >>> result.output.shape
    (256, 256, 3)
    """

    def __init__(
        self,
        bank: Bank | str | Path,
        network: Network | str | Path | None = None,
        *,
        num_threads: int = -1,
    ) -> None:
        if num_threads != -1 and not 1 <= num_threads <= 4096:
            raise SearchError(
                f"num_threads must be positive, or -1 for all CPUs, not {num_threads}"
            )
        self.bank = bank if isinstance(bank, Bank) else Bank(bank)
        self.num_threads = num_threads
        if network is None or isinstance(network, (str, Path)):
            self.network: Network = self.bank.open_network(network, num_threads=num_threads)
        else:
            self.bank.check_network(network)
            self.network = network

    def __repr__(self) -> str:
        return f"Explainer({self.bank!r}, {self.network!r})"

    def read(self, image: QueryImage, layers: Iterable[str] | None = None) -> Reading:
        """Run the network over an image, once for several explanations of it.

        Parameters
        ----------
        image
            See `QueryImage`.
        layers
            Layers of the bank that it will be explained at. Default: all.

        Returns
        -------
        A `Reading`, which `explain` and `nearest` take in place of the image.

        Raises
        ------
        LayerError
            If the bank does not hold a layer.
        ImageError
            If the image cannot be read or is not what the network takes.
        ActivationError
            If the network's output has NaN or infinite values.
        SearchError
            If `image` is a reading that lacks a layer, or what the network painted.
        """
        names = self.bank.layers if layers is None else layers
        taps = [self.bank.layer(name).name for name in names]
        if self.bank.descriptor is not None:
            taps.append(self.bank.descriptor)
        if isinstance(image, Reading):
            self._check_reading(image, taps)
            if image.painted is None and self.network.output_name is not None:
                raise SearchError(
                    f"what the network painted for {image.name} was not kept; read the image with "
                    f"`Explainer.read`"
                )
            return image
        query = self._query(image)
        reading = self.network.read(query.image, taps, output=True, name=query.file)
        if reading.output is None:
            return reading
        size = reading.image.shape[0], reading.image.shape[1]
        painted = self.network.paint(reading.output, size, self.bank.target_kind)
        return dataclasses.replace(reading, painted=painted)

    def nearest(
        self,
        image: QueryImage,
        count: int = 1,
        *,
        among: Among = None,
        layer: str | None = None,
    ) -> list[Candidate]:
        """The training images most similar to `image` by the global descriptor, nearest first.

        The pair of the first one is the paper's global reconstruction (`Bank.pair`).

        Parameters
        ----------
        image
            See `QueryImage`.
        count
            How many; a warning says so when there are fewer.
        among
            See `Among`.
        layer
            Compare by the whole activation of this layer of the bank instead of the descriptor.

        Raises
        ------
        LayerError
            If the bank does not hold the layer.
        SearchError
            If the bank has no descriptors, or `count` or `among` make no sense.
        """
        now = self._as_it_is()
        tap = now._descriptor() if layer is None else now.bank.layer(layer).name
        allowed = now.indices(among)
        if isinstance(image, Reading):
            now._check_reading(image, [tap])
        else:
            query = now._query(image)
            image = now.network.read(query.image, [tap], name=query.file)
        return now._candidates(image, layer, allowed, count)

    def explain(
        self,
        image: QueryImage,
        layer: str,
        search: Search | None = None,
        *,
        top_k: int | None = None,
        among: Among = None,
        hyperpatch: tuple[int, int] | None = None,
        composition: Composition = "copy",
        progress: Callable[[float], None] | None = None,
    ) -> Explanation:
        """Explain what the network paints for an image, at one layer.

        Parameters
        ----------
        image
            See `QueryImage`.
        layer
            A layer of the bank.
        search
            How to search. Default: `Auto()`.
        top_k
            Search only the k training images nearest by the global descriptor (paper, section
            3.2). Default: all.
        among
            See `Among`.
        hyperpatch
            Cells (h, w) of a hyperpatch. Default: the layer's own.
        composition
            "copy" takes each pixel from the patch that owns it (paper, section 3.1); "overlap"
            merges the overlapping windows of all hyperpatches.
        progress
            Called with the finished share in [0, 1]; an exception ends the search.

        Raises
        ------
        LayerError
            If the bank does not hold the layer, or the hyperpatch does not fit into it.
        ImageError
            If the image cannot be read or is not what the network takes.
        SearchError
            If the search makes no sense.
        ActivationError
            If the network gives NaN or infinite values.
        BankError
            If what the search needs is damaged.
        """
        check_composition(composition)
        now = self._as_it_is()
        tap, allowed = now._layer(layer, hyperpatch), now.indices(among)
        if top_k is not None:
            now._descriptor()
        reading = now.read(image, [layer])
        candidates = now._candidates(reading, None, allowed, top_k)
        return now._explain(reading, tap, candidates, search or Auto(), composition, progress)

    def explain_all(
        self,
        images: Iterable[QueryImage],
        layers: Iterable[str] | None = None,
        search: Search | None = None,
        *,
        top_k: int | None = None,
        among: Among = None,
        hyperpatch: tuple[int, int] | None = None,
        composition: Composition = "copy",
        progress: Callable[[str, float], None] | None = None,
    ) -> Iterator[dict[str, Explanation]]:
        """Explain many images at many layers: the network runs once for each image.

        Parameters
        ----------
        images
            See `QueryImage`.
        layers
            Layers of the bank. Default: all.
        search, top_k, among, hyperpatch, composition
            As in `explain`.
        progress
            Called as `progress(layer, share)`, share in [0, 1].

        Yields
        ------
        For each image its explanations by layer.

        Raises
        ------
        CompnnError
            As `explain`.
        """
        check_composition(composition)
        now = self._as_it_is()
        names = dict.fromkeys(now.bank.layers if layers is None else layers)
        taps = [now._layer(name, hyperpatch) for name in names]
        allowed = now.indices(among)
        if top_k is not None:
            now._descriptor()
        for image in images:
            reading = now.read(image, names)
            candidates = now._candidates(reading, None, allowed, top_k)
            yield {
                tap.name: now._explain(
                    reading,
                    tap,
                    candidates,
                    search or Auto(),
                    composition,
                    None if progress is None else _of_layer(progress, tap.name),
                )
                for tap in taps
            }

    def indices(self, among: Among) -> list[int]:
        """The indices, ascending, of the training images that may be used.

        Raises
        ------
        SearchError
            If there are none, or what they are chosen by does not occur.
        """
        if isinstance(among, str):
            among = Selection(where=(among,))
        if isinstance(among, Selection):
            return among.select(self.bank)
        return self.bank.indices(among)

    def resolved(
        self,
        search: Search,
        layers: Iterable[str],
        among: Among = None,
        top_k: int | None = None,
    ) -> Exhaustive | HyperPatchMatch:
        """What a search is for the most costly of several layers: one choice for a whole table.

        Parameters
        ----------
        search
            How to search.
        layers
            Layers of the bank.
        among, top_k
            The largest set of training images that will be searched.
        """
        now = self._as_it_is()
        images = now.indices(among)
        costs = []
        for name in layers:
            tap, cells = now.bank.layer(name), now.bank.cells(name, [])
            places = cells.places(images, tap.hyperpatch)
            if top_k is not None:
                places = places * min(top_k, len(images)) // len(images)
            costs.append((tap.grid[0] * tap.grid[1] * places, cells.channels))
        return search.resolved(*max(costs, key=math.prod))

    def _as_it_is(self) -> Explainer:
        """An explainer whose bank stays at its generation when images are added or dropped."""
        now = copy.copy(self)
        now.bank = copy.copy(self.bank)
        return now

    def _layer(self, name: str, hyperpatch: tuple[int, int] | None) -> Layer:
        layer = self.bank.layer(name)
        return layer if hyperpatch is None else dataclasses.replace(layer, hyperpatch=hyperpatch)

    def _query(self, image: npt.NDArray[np.uint8] | str | Path | Query) -> Query:
        if isinstance(image, Query):
            return image
        if isinstance(image, (str, Path)):
            return read_query(image, self.bank.input_kind)
        return Query("query", np.asarray(image))

    def _check_reading(self, reading: Reading, taps: Iterable[str]) -> None:
        """Refuse what another network, or a run for other layers, has read."""
        for name in taps:
            found = reading.tap(name).shape
            if name not in self.bank.layers:
                continue
            height, width, depth = self.bank.layer(name).shape
            size = (height, width) if self.network.input_size is not None else found[1:]
            if found != (depth, *size):
                raise SearchError(
                    f"{name} is {found} in the network's run over {reading.name}, but "
                    f"{(depth, height, width)} in the bank; run the bank's own network"
                )

    def _candidates(
        self, reading: Reading, layer: str | None, allowed: list[int], count: int | None
    ) -> list[Candidate]:
        """The nearest by the activation of a layer, or of the descriptor's tap (None).

        All allowed images for a `count` of None, as near as they are where the bank can tell.
        """
        names = self.bank.names
        if count is None and self.bank.descriptor is None:
            return [Candidate(index, names[index], None) for index in allowed]
        count = len(allowed) if count is None else count
        if count < 1:
            raise SearchError(f"the number of nearest images must be at least 1, not {count}")
        if count > len(allowed):
            warnings.warn(
                f"{count} nearest images were asked for; there are only {len(allowed)}, "
                f"so all are used",
                stacklevel=3,
            )
            count = len(allowed)
        # An activation is one hyperpatch, a descriptor one of one cell: the engine ranks images as
        # it ranks those.
        activation = reading.tap(layer or self._descriptor())
        if layer is None:
            descriptors, whole = self.bank.descriptors(allowed), (1, 1)
            core, queries = descriptors.core, descriptors.pack(activation, reading.name)
        else:
            whole = activation.shape[1], activation.shape[2]
            allowed = self._of_size(layer, whole, allowed)
            count = min(count, len(allowed))
            cells = self.bank.cells(layer, allowed)
            core, queries = cells.core, cells.pack(activation, reading.name, whole)
        field = Exhaustive(matches=count).run(
            core, queries, np.array(allowed, np.int32), whole, num_threads=1
        )
        found = dict(
            zip(field.image[:, 0, 0].tolist(), field.similarity[:, 0, 0].tolist(), strict=True)
        )
        found.pop(-1, None)
        # What is zero is similar to nothing, but no less a candidate.
        found |= dict.fromkeys([i for i in allowed if i not in found][: count - len(found)], 0.0)
        return [Candidate(index, names[index], similarity) for index, similarity in found.items()]

    def _explain(
        self,
        reading: Reading,
        tap: Layer,
        candidates: list[Candidate],
        search: Search,
        composition: Composition,
        progress: Callable[[float], None] | None,
    ) -> Explanation:
        images = np.unique(np.array([each.index for each in candidates], np.int32))
        activation = reading.tap(tap.name)
        if self.network.input_size is None:
            size = reading.image.shape[0], reading.image.shape[1]
            tap = dataclasses.replace(self.network.layer(tap.name, size), hyperpatch=tap.hyperpatch)
        cells = self.bank.cells(tap.name, images.tolist())
        pairs = tap.grid[0] * tap.grid[1] * cells.places(images.tolist(), tap.hyperpatch)
        how = search.resolved(pairs, cells.channels)
        field = how.run(
            cells.core,
            cells.pack(activation, reading.name, tap.hyperpatch),
            images,
            tap.hyperpatch,
            num_threads=self.num_threads,
            progress=progress,
        )
        kinds = self.bank.input_kind, self.bank.target_kind
        return Explanation(
            tap,
            field,
            how,
            reading.image,
            reading.painted,
            candidates,
            kinds,
            self.bank,
            composition,
        )

    def _of_size(self, layer: str, cells: tuple[int, int], allowed: list[int]) -> list[int]:
        """The images whose activation is of the query's size, which alone compare as a whole."""
        if self.network.input_size is not None:
            return allowed
        same = [i for i in allowed if self.bank.layer_of(layer, i).shape[:2] == cells]
        if not same:
            raise SearchError(
                f"no training image has an activation of {cells[0]}x{cells[1]} cells at {layer!r}, "
                f"as the query has; compare by a descriptor"
            )
        return same

    def _descriptor(self) -> str:
        if self.bank.descriptor is None:
            raise SearchError(
                f"the bank {self.bank.path} has no global descriptors, which the nearest images "
                f"are chosen by; build it with a descriptor (`--descriptor`), or search all images"
            )
        return self.bank.descriptor


def _of_layer(progress: Callable[[str, float], None], layer: str) -> Callable[[float], None]:
    return lambda share: progress(layer, share)
