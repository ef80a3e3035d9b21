"""compnn, over arrays and over a bank."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.common import facades
from benchmarks.speed.case import HYPERPATCH, LAYER
from benchmarks.speed.engine import Engine, Found
from compnn import Bank, _core
from compnn.search.search import Method, Search, bank_of


class Compnn(Engine):
    """From the activations, as the network gives them, to the field: nothing is left out."""

    method: Method

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
        bank = bank_of(self._cells, self._norms)
        images = range(len(self._cells))
        field = self.how(setting).field(bank, cells, norms, images, HYPERPATCH)
        gh, gw = self.case.grid
        place = (field.image[0].astype(np.int64) * gh + field.row[0]) * gw + field.col[0]
        return Found(place.ravel(), field.similarity[0].ravel())

    def how(self, setting: int) -> Search:
        """The search that a setting stands for."""
        return Search("exhaustive", num_threads=self.threads)


class Exhaustive(Compnn):
    """Exhaustive search; the setting means nothing."""


class HyperPatchMatch(Compnn):
    """HyperPatch-Match's fast schedule; the setting is its effort."""

    def how(self, setting: int) -> Search:
        return Search("hyperpatch-match", effort=setting, num_threads=self.threads)


class PaperSchedule(Compnn):
    """HyperPatch-Match's paper schedule; the setting is its number of iterations."""

    def how(self, setting: int) -> Search:
        return Search(
            "hyperpatch-match", schedule="paper", iterations=setting, num_threads=self.threads
        )


class BankSearch:
    """`Bank.explain` of Facades val image 1, from the activations to the field."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path = path
        self._threads = threads

    @cached_property
    def _bank(self) -> Bank:
        return Bank(self._path)

    def build(self) -> None:
        """Open the bank, run the network over the query, read and check the whole layer."""
        self._reading = self._bank.run(facades("val")[0].input, [LAYER])
        self.search("hyperpatch-match", len(self._bank))

    def search(self, method: Method, images: int) -> float:
        """Mean similarity of the matches among the `images` nearest training images."""
        found = self._bank.explain(
            self._reading, LAYER, top_k=images, method=method, num_threads=self._threads
        )
        return found.field.mean_similarity
