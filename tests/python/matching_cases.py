"""Matchings that are made up, for tests of what is counted and drawn of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from compnn.images.palette import Palette
from compnn.network.layer import Layer
from compnn.search.field import Field
from compnn.search.search import Exhaustive
from compnn.studies.matching import Matching

SIZE = (24, 32)

Images = npt.NDArray[np.uint8]
Places = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]


def palette(count: int, void: int | None = None) -> Palette:
    """Classes name0, name1, ... of colours of their own."""
    colours = np.array([(6 * label + 1, 200 - 4 * label, 90) for label in range(count)], np.uint8)
    return Palette("test", tuple(f"name{i}" for i in range(count)), colours, void)


def photo(seed: int, size: tuple[int, int] = SIZE) -> Images:
    """Smooth colours, so that a network sees regions."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def made_up(
    seed: int,
    *,
    grid: tuple[int, int] = (6, 8),
    size: tuple[int, int] = SIZE,
    grid_b: tuple[int, int] | None = None,
    size_b: tuple[int, int] | None = None,
    classes: int = 4,
    void: int | None = None,
    backward: Places | None = None,
    named: bool = True,
) -> Matching:
    """A matching of random fields over random label maps; void pixels if `void` is given.

    B has the grid and the size of A unless others are given.
    """
    random = np.random.default_rng(seed)
    grid_b, size_b = grid_b or grid, size_b or size
    layers = [
        Layer.of("layer", (*cells, 3), pixels, hyperpatch=(1, 1))
        for cells, pixels in ((grid, size), (grid_b, size_b))
    ]

    def field(shape: tuple[int, int], target: tuple[int, int], places: Places | None) -> Field:
        row, col = places or (
            random.integers(0, target[0], shape, np.int32),
            random.integers(0, target[1], shape, np.int32),
        )
        similarity = random.random((1, *shape), np.float32)
        return Field(np.zeros((1, *shape), np.int32), row[None], col[None], similarity)

    labels = np.arange(classes) if void is None else np.array([*range(classes), void])
    return Matching(
        layer=layers[0],
        layer_b=layers[1],
        a=random.integers(0, 256, (*size, 3), np.uint8),
        b=random.integers(0, 256, (*size_b, 3), np.uint8),
        output_a=random.choice(labels, size).astype(np.uint8),
        output_b=random.choice(labels, size_b).astype(np.uint8),
        forward=field(grid, grid_b, None),
        backward=field(grid_b, grid, backward),
        search=Exhaustive(),
        class_names=palette(classes).classes,
        palette=palette(classes, void) if named else None,
    )
