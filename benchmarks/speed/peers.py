"""FAISS, hnswlib, usearch, PyTorch and NumPy, each imported only in the process that runs it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.speed.engine import Engine, Found

# Of all three HNSW graphs: M, and efConstruction at FAISS's default.
LINKS, CONSTRUCTION = 16, 40
LISTS = 1024
_SEED = 1
_WARM_UP = 256
_CHUNK = 256


class Peer(Engine):
    """Searches the unit vectors of all hyperpatches, which are ready before the clock starts."""

    def warm_up(self) -> None:
        self.nearest(self.queries[:_WARM_UP], 1)

    def search(self, setting: int) -> Found:
        place, similarity = self.nearest(self.queries, setting)
        # Where an approximate index finds nothing (-1), any candidate is the match.
        found = np.maximum(place.reshape(-1).astype(np.int64), 0)
        return Found(found, similarity.reshape(-1))

    def read(self) -> npt.NDArray[np.float32]:
        """The candidates (M, 4 D)."""
        self.queries = np.array(self.case.array("queries"))
        return self.case.array("candidates")

    def nearest(self, queries: npt.NDArray[np.float32], setting: int) -> tuple[Any, Any]:
        """Places and similarities of the nearest candidates."""
        raise NotImplementedError


class Faiss(Peer):
    """A FAISS index of inner products."""

    def build(self) -> None:
        faiss = import_module("faiss")
        faiss.omp_set_num_threads(self.threads)
        self._faiss = faiss
        candidates = self.read()
        self.index = self.make(faiss, candidates.shape[1])
        self.index.train(candidates)
        self.index.add(candidates)

    def make(self, faiss: Any, dimensions: int) -> Any:
        """An empty index."""
        return faiss.IndexFlatIP(dimensions)

    def size(self) -> int:
        return int(self._faiss.serialize_index(self.index).nbytes)

    def nearest(self, queries: npt.NDArray[np.float32], setting: int) -> tuple[Any, Any]:
        similarity, place = self.index.search(queries, 1)
        return place, similarity


class FaissIvf(Faiss):
    """Inverted lists; the setting is nprobe."""

    def make(self, faiss: Any, dimensions: int) -> Any:
        self._quantiser = faiss.IndexFlatIP(dimensions)
        return faiss.IndexIVFFlat(self._quantiser, dimensions, LISTS, faiss.METRIC_INNER_PRODUCT)

    def nearest(self, queries: npt.NDArray[np.float32], setting: int) -> tuple[Any, Any]:
        self.index.nprobe = setting
        return super().nearest(queries, setting)


class FaissHnsw(Faiss):
    """A graph; the setting is efSearch."""

    def make(self, faiss: Any, dimensions: int) -> Any:
        index = faiss.IndexHNSWFlat(dimensions, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = CONSTRUCTION
        return index

    def nearest(self, queries: npt.NDArray[np.float32], setting: int) -> tuple[Any, Any]:
        self.index.hnsw.efSearch = setting
        return super().nearest(queries, setting)


class Hnswlib(Peer):
    """A graph; the setting is ef."""

    def build(self) -> None:
        hnswlib = import_module("hnswlib")
        candidates = self.read()
        self._index = hnswlib.Index("ip", candidates.shape[1])
        self._index.init_index(
            len(candidates), M=LINKS, ef_construction=CONSTRUCTION, random_seed=_SEED
        )
        self._index.set_num_threads(self.threads)
        self._index.add_items(candidates)

    def size(self) -> int:
        return int(self._index.index_file_size())

    def nearest(self, queries: npt.NDArray[np.float32], setting: int) -> tuple[Any, Any]:
        self._index.set_ef(setting)
        place, distance = self._index.knn_query(queries, k=1)
        return place, 1 - distance


class Usearch(Peer):
    """A graph over float32; the setting is expansion_search."""

    def build(self) -> None:
        candidates = self.read()
        self._index = import_module("usearch.index").Index(
            ndim=candidates.shape[1],
            metric="ip",
            dtype="f32",
            connectivity=LINKS,
            expansion_add=CONSTRUCTION,
        )
        keys = np.arange(len(candidates), dtype=np.uint64)
        self._index.add(keys, candidates, threads=self.threads)

    def size(self) -> int:
        return int(self._index.serialized_length)

    def nearest(self, queries: npt.NDArray[np.float32], setting: int) -> tuple[Any, Any]:
        self._index.expansion_search = setting
        matches = self._index.search(queries, 1, threads=self.threads)
        return np.asarray(matches.keys), 1 - np.asarray(matches.distances)


class PyTorch(Peer):
    """A matrix product and its largest column, a block of queries at a time."""

    def build(self) -> None:
        torch = import_module("torch")
        torch.set_num_threads(self.threads)
        self._torch = torch
        self._candidates = torch.from_numpy(np.array(self.read()))

    def size(self) -> int:
        return int(self._candidates.nbytes)

    def nearest(self, queries: npt.NDArray[np.float32], setting: int) -> tuple[Any, Any]:
        parts = self._torch.from_numpy(queries).split(_CHUNK)
        best = [(part @ self._candidates.T).max(dim=1) for part in parts]
        place = self._torch.cat([each.indices for each in best])
        return place.numpy(), self._torch.cat([each.values for each in best]).numpy()


class NumPy(Peer):
    """The same in NumPy, whose `argmax` runs on one thread."""

    def build(self) -> None:
        self._candidates = np.array(self.read())

    def size(self) -> int:
        return self._candidates.nbytes

    def nearest(self, queries: npt.NDArray[np.float32], setting: int) -> tuple[Any, Any]:
        places, similarities = [], []
        for start in range(0, len(queries), _CHUNK):
            scores = queries[start : start + _CHUNK] @ self._candidates.T
            places.append(scores.argmax(axis=1))
            similarities.append(scores.max(axis=1))
        return np.concatenate(places), np.concatenate(similarities)
