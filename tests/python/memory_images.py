"""Training images in memory, as explanations take them from a bank or a saved folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.images.kinds import Picture
from compnn.network.layer import Layer


class MemoryPictures:
    """Pictures of any sizes; `checked` are the images that were asked whether they are sound."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.pictures = pictures
        self.checked: list[int] = []

    def sizes(
        self, images: npt.NDArray[np.integer[Any]]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        sizes = np.array([picture.shape[:2] for picture in self.pictures], np.int32)
        return sizes[images, 0], sizes[images, 1]

    def picture(self, image: int) -> Picture:
        return self.pictures[image]

    def take(self, image: Picture, row: Picture, col: Picture) -> Picture:
        first = self.pictures[0]
        taken = np.zeros((*image.shape, *first.shape[2:]), first.dtype)
        for place in np.ndindex(image.shape):
            taken[place] = self.pictures[image[place]][row[place], col[place]]
        return taken

    def blank(self, size: tuple[int, int]) -> Picture:
        first = self.pictures[0]
        return np.zeros((*size, *first.shape[2:]), first.dtype)

    def check(self, images: Iterable[int]) -> None:
        self.checked += images


class MemoryImages:
    """Training images `names` with their pictures, over all of which a layer lies by its maps.

    Each has as many cells as its input needs, unless `layers` says otherwise, by image.
    """

    def __init__(
        self,
        inputs: Sequence[Picture],
        targets: Sequence[Picture],
        names: Sequence[str] = (),
        attributes: Mapping[str, Mapping[str, str]] | None = None,
        layers: Sequence[Layer] = (),
    ) -> None:
        self.path = Path("/nowhere/memory.bank")
        self.names = list(names) or [f"img_{index}" for index in range(len(inputs))]
        self.attributes = attributes or {}
        self.layers = layers
        self.inputs, self.targets = MemoryPictures(inputs), MemoryPictures(targets)

    def layer_of(self, name: str, image: int) -> Layer:
        if len(self.layers) > 1:
            return self.layers[image]
        (layer,) = self.layers
        assert layer.name == name
        size, output = (
            (each.shape[0], each.shape[1])
            for each in (self.inputs.picture(image), self.targets.picture(image))
        )
        rows, cols = (
            max(ceil(pixels / each.scale), cells)
            for pixels, each, cells in zip(
                size, layer.geometry.looks, layer.hyperpatch, strict=True
            )
        )
        geometry = replace(layer.geometry, image_size=size, output_size=output)
        return replace(layer, shape=(rows, cols, layer.shape[2]), geometry=geometry)
