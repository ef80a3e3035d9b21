"""A search as arrays on disk, which every engine maps: activations for ours, hyperpatches for all.

The reference case is Facades val image 1 against its 16 nearest training images by descriptor, at
decoder_2 of the photo-to-labels Pix2Pix.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.common import facades, facades_network, shared
from compnn import Explainer, Field, build
from compnn.explanation.composition import provenance

LAYER = "decoder_2"
IMAGES = 16
HYPERPATCH = (2, 2)
_CHUNK = 1024


@dataclass(frozen=True)
class Case:
    """Arrays float32 in a folder.

    `query.npy` (D, H, W) as the network gives it, `cells.npy` (N, H, W, D), and the unit vectors
    `queries.npy` (Q, 4 D) and `candidates.npy` (M, 4 D) of all of their hyperpatches.
    """

    folder: Path

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """One of the arrays, memory-mapped."""
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")  # type: ignore[no-any-return]

    @staticmethod
    def write(folder: Path, query: npt.NDArray[np.float32], cells: npt.NDArray[np.float32]) -> Case:
        """Write a case of query (D, H, W) and cells (N, H, W, D)."""
        folder.mkdir()
        np.save(folder / "query.npy", np.ascontiguousarray(query))
        np.save(folder / "cells.npy", np.ascontiguousarray(cells))
        np.save(folder / "queries.npy", _hyperpatches(query.transpose(1, 2, 0)))
        per_image = (cells.shape[1] - 1) * (cells.shape[2] - 1)
        shape = (len(cells) * per_image, 4 * cells.shape[3])
        vectors = np.lib.format.open_memmap(
            folder / "candidates.npy", mode="w+", dtype=np.float32, shape=shape
        )
        for image, each in enumerate(cells):
            vectors[image * per_image : (image + 1) * per_image] = _hyperpatches(each)
        vectors.flush()
        return Case(folder)

    def part(self, images: int, channels: int) -> Case:
        """The same with fewer images and channels."""
        folder = self.folder / f"{images}-images-{channels}-channels"
        if folder.exists():
            return Case(folder)
        cells = self.array("cells")[:images, ..., :channels]
        return self.write(folder, self.array("query")[:channels], cells)

    @property
    def grid(self) -> tuple[int, int]:
        """Number of hyperpatches (gh, gw) of an image."""
        _, height, width = self.array("query").shape
        return height - 1, width - 1

    @property
    def images(self) -> int:
        """Number of images searched."""
        return len(self.array("cells"))

    @property
    def channels(self) -> int:
        """Channels D of a cell."""
        return len(self.array("query"))

    @property
    def queries(self) -> int:
        """Number of hyperpatches to find a match for."""
        return len(self.array("queries"))

    @property
    def candidates(self) -> int:
        """Number of hyperpatches to find it among."""
        return len(self.array("candidates"))

    @property
    def cell_products(self) -> float:
        """Multiply-adds that products of all cells, each pair once, take."""
        cells = self.array("cells")
        height, width = self.array("query").shape[1:]
        return float(cells.size) * float(height * width)

    def similarities(self, found: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Similarities of matches (Q,), in double precision."""
        queries, candidates = self.array("queries"), self.array("candidates")
        similarity = np.empty(len(found))
        for start in range(0, len(found), _CHUNK):
            part = slice(start, start + _CHUNK)
            first = queries[part].astype(np.float64)
            second = candidates[found[part]].astype(np.float64)
            dots = np.einsum("qd,qd->q", first, second)
            norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
            similarity[part] = dots / norms
        return similarity


def _hyperpatches(cells: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Unit vectors of all hyperpatches of cells (H, W, D)."""
    height, width = cells.shape[0] - 1, cells.shape[1] - 1
    corners = [cells[a : a + height, b : b + width] for a in (0, 1) for b in (0, 1)]
    vectors = np.concatenate(corners, axis=2).reshape(height * width, -1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


class Reference:
    """The reference case, and how good a reconstruction its matches give.

    Parameters
    ----------
    explainer
        Of a bank of the Facades training pairs, with decoder_2 and the descriptor.
    folder
        Where to write the case.
    images
        How many of the nearest training images to search.
    """

    def __init__(self, explainer: Explainer, folder: Path, images: int) -> None:
        pair = facades("val")[0]
        nearest = sorted(each.index for each in explainer.nearest(pair.input, images))
        self._bank = explainer.bank
        self.names = tuple(self._bank.names[index] for index in nearest)
        network, train = facades_network([LAYER]), facades("train")
        cells = [
            network.activations(train[train.names.index(name)].input)[LAYER] for name in self.names
        ]
        query = network.activations(pair.input)[LAYER].transpose(2, 0, 1)
        self.case = Case.write(folder, query, np.stack(cells))
        self._nearest = np.array(nearest, np.int32)
        self._truth = pair.target

    def accuracy(self, found: npt.NDArray[np.int64]) -> float:
        """Pixel accuracy of the output reconstruction that matches (Q,) give."""
        image, row, col = np.unravel_index(found, (len(self._nearest), *self.case.grid))
        shape = (1, *self.case.grid)
        places = np.stack([self._nearest[image], row, col]).reshape(3, *shape).astype(np.int32)
        field = Field(places[0], places[1], places[2], np.zeros(shape, np.float32))
        targets = self._bank.targets
        placement = self._bank.layers[LAYER].paints
        given = provenance(field, placement, lambda image: placement, targets)
        painted = given.copy_from(targets, self._bank.target_kind)
        return self._bank.target_kind.compare(self._truth, painted).value


def open_explainer(path: Path, layers: list[str] | None) -> Explainer:
    """The photo-to-labels Pix2Pix and its bank of the Facades training pairs at `path`.

    The bank is built there if it is missing, with the layers, or with all for None.
    """
    network = facades_network(layers)
    if not (path / "manifest.json").exists():
        print(f"building {path} of {shared() / 'data/facades/train'}", flush=True)
        build(path, network, facades("train"))
    return Explainer(path, network)
