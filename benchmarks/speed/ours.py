"""compnn, over arrays and over a bank."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.common import facades
from benchmarks.speed.case import HYPERPATCH
from benchmarks.speed.engine import Engine, Found
from compnn import Exhaustive, Explainer, HyperPatchMatch, Search, _core


class Compnn(Engine):
    """From the activations, as the network gives them, to the field: nothing is left out."""

    def build(self) -> None:
        self._cells = np.array(self.case.array("cells"))
        self._norms = np.linalg.norm(self._cells, axis=-1)
        self._query = np.array(self.case.array("query"))

    def size(self) -> int:
        return int(self._cells.nbytes + self._norms.nbytes)

    def warm_up(self) -> None:
        self.search(1)

    def search(self, setting: int) -> Found:
        depth, height, width = self._query.shape
        cells = np.empty((height, width, depth), np.float32)
        norms = np.empty((height, width), np.float32)
        _core.pack_activations(self._query, cells, norms)
        images = np.arange(len(self._cells), dtype=np.int32)
        table = [(0, image * height * width, height, width) for image in images.tolist()]
        shard = self._cells.reshape(-1, depth), self._norms.reshape(-1), 0
        field = self.how(setting).run(
            _core.CellBank([shard], np.array(table, np.int64)),
            [(cells, norms, None)],
            images,
            HYPERPATCH,
            num_threads=self.threads,
        )
        gh, gw = self.case.grid
        place = (field.image[0].astype(np.int64) * gh + field.row[0]) * gw + field.col[0]
        return Found(place.ravel(), field.similarity[0].ravel())

    @abstractmethod
    def how(self, setting: int) -> Exhaustive | HyperPatchMatch:
        """The search that a setting stands for."""


class ExhaustiveSearch(Compnn):
    """Exhaustive search; the setting means nothing."""

    def how(self, setting: int) -> Exhaustive:
        return Exhaustive()


class FastSchedule(Compnn):
    """HyperPatch-Match's fast schedule; the setting is its effort."""

    def how(self, setting: int) -> HyperPatchMatch:
        return HyperPatchMatch(effort=setting)


class PaperSchedule(Compnn):
    """HyperPatch-Match's paper schedule; the setting is its number of iterations."""

    def how(self, setting: int) -> HyperPatchMatch:
        return HyperPatchMatch(schedule="paper", iterations=setting)


class BankSearch:
    """`Explainer.explain` of Facades val image 1, from the activations to the explanation."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path = path
        self._threads = threads

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(self._path, num_threads=self._threads)

    def build(self, layers: list[str]) -> None:
        """Open the bank, run the network over the query, read and check these layers."""
        self._reading = self._explainer.read(facades("val")[0].input, layers)
        for layer in layers:
            self.search(layer, HyperPatchMatch(), len(self._explainer.bank))

    def search(self, layer: str, search: Search, images: int) -> float:
        """Mean similarity of the matches among the `images` nearest training images."""
        found = self._explainer.explain(self._reading, layer, search, top_k=images)
        return found.field.mean_similarity
