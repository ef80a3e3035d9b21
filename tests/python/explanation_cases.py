"""Explanations that are made up, for tests of what is drawn and told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.explanation.explanation import Candidate, Explanation
from compnn.images.kinds import Kind, Labels, Photo, Picture, Values
from compnn.network.layer import Layer
from compnn.search.field import Field
from compnn.search.search import Exhaustive, Search
from memory_images import MemoryImages, MemoryPictures

Image = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.integer[Any]]


class QuickPictures(MemoryPictures):
    """Pictures that are taken image by image, for larger ones."""

    def take(self, image: Ints, row: Ints, col: Ints) -> Picture:
        first = self.pictures[0]
        taken = np.empty((*image.shape, *first.shape[2:]), first.dtype)
        for index in np.unique(image):
            here = image == index
            taken[here] = self.pictures[index][row[here], col[here]]
        return taken


def grey(size: tuple[int, int], seed: int) -> Image:
    """A photo in greys."""
    levels = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    return np.repeat(levels[:, :, None], 3, axis=2)


def target_of(kind: Kind, size: tuple[int, int], seed: int) -> Picture:
    """A random target of a kind; photos are grey."""
    random = np.random.default_rng(seed)
    if isinstance(kind, Labels):
        return random.integers(0, len(kind.palette), size, np.uint8)
    if isinstance(kind, Values):
        return random.uniform(*kind.limits, size).astype(np.float32)
    return grey(size, seed)


def explain(
    image: npt.ArrayLike,
    *,
    name: str = "encoder_3",
    size: tuple[int, int] = (64, 64),
    kind: Kind | None = None,
    matches: int = 1,
    query: Image | None = None,
    search: Search | None = None,
    sizes: Sequence[tuple[int, int]] | None = None,
) -> Explanation:
    """Explanation whose hyperpatches match the given bank images, each at its own position.

    Targets are of `kind`; training images are of `sizes`, by default of `size`, as the query.
    """
    images = np.asarray(image, dtype=np.int32)
    gh, gw = images.shape
    layer = Layer.of(name, (gh, gw, 4), size, hyperpatch=(1, 1))
    rows, cols = np.mgrid[:gh, :gw].astype(np.int32)
    # Worse matches point elsewhere: they must not be shown.
    worse = [np.full_like(images, images.max())] * (matches - 1)
    found = Field(
        np.stack([images, *worse]),
        np.stack([rows] * matches),
        np.stack([cols] * matches),
        np.full((matches, gh, gw), 0.5, dtype=np.float32),
    )
    kind = kind or Photo()
    sizes = sizes or [size] * (int(images.max()) + 1)
    inputs = [grey(each, seed) for seed, each in enumerate(sizes)]
    targets = [target_of(kind, each, 100 + seed) for seed, each in enumerate(sizes)]
    bank = MemoryImages(inputs, targets, [f"train_{index}" for index in range(len(sizes))])
    bank.layers = [layer]
    bank.inputs, bank.targets = QuickPictures(inputs), QuickPictures(targets)
    return Explanation(
        layer,
        found,
        search or Exhaustive(matches),
        grey(size, 99) if query is None else query,
        target_of(kind, size, 100),
        [Candidate(index, name, None) for index, name in enumerate(bank.names)],
        (Photo(), kind),
        bank,
    )


def layers(count: int, *, size: tuple[int, int] = (64, 64)) -> list[Explanation]:
    """Explanations of one query at layer_0, layer_1, ..."""
    return [explain(np.zeros((8, 8)), name=f"layer_{i}", size=size) for i in range(count)]
