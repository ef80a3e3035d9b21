"""Exhaustive search and HyperPatch-Match beside faiss.IndexFlatIP, on the reference case.

Facades val image 1 against its 16 nearest training images by descriptor, decoder_2 of the
photo-to-labels Pix2Pix, hyperpatch 2x2x128, float32: 16,129 queries, 258,064 candidates. All run
one after the other on the same threads, `--repeat` times over; the best time of each counts.

    python benchmarks/exhaustive_vs_faiss.py --threads 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import faiss
import numpy as np
import numpy.typing as npt
from common import DESCRIPTOR, facades, facades_model

from compnn import _core
from compnn.search import Method, Search

LAYER, TOP_K = "decoder_2", 16


def hyperpatches(cells: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Unit vectors (M, 4 D) of all 2x2 hyperpatches of cells (N, H, W, D)."""
    parts = [cells[:, a : cells.shape[1] - 1 + a, b : cells.shape[2] - 1 + b] for a, b in CORNERS]
    vectors = np.concatenate(parts, axis=3).reshape(-1, 4 * cells.shape[3])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def case() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Cells of the query (H, W, D) and of its 16 nearest training images (16, H, W, D)."""
    model, train = facades_model([LAYER]), facades("train")
    query = facades("val")[0].input

    def descriptor(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        vector = model.activations(image, [DESCRIPTOR])[DESCRIPTOR].reshape(-1)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)

    stored = np.stack([descriptor(pair.input) for pair in train])
    nearest = np.sort(np.argsort(-(stored @ descriptor(query)))[:TOP_K])
    bank = np.stack([model.activations(train[i].input)[LAYER] for i in nearest])
    return model.activations(query)[LAYER], bank


def timed(run: Callable[[], npt.NDArray[np.float32]]) -> tuple[float, npt.NDArray[np.float32]]:
    """Seconds and similarities of one run."""
    start = time.perf_counter()
    similarity = run()
    return time.perf_counter() - start, similarity


def main() -> None:
    """Print seconds, ratios and similarities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()

    query, cells = case()
    norms = [np.linalg.norm(each, axis=-1) for each in (query, cells)]
    bank = _core.CellBank.from_arrays(cells, norms[1])
    grid = (query.shape[0] - 1, query.shape[1] - 1)
    faiss.omp_set_num_threads(options.threads)
    index = faiss.IndexFlatIP(4 * query.shape[2])
    index.add(hyperpatches(cells))
    vectors = hyperpatches(query[np.newaxis])

    def search(method: Method) -> npt.NDArray[np.float32]:
        how = Search(method, num_threads=options.threads)
        field = how.field(bank, query, norms[0], range(TOP_K), (2, 2))
        return np.asarray(field.similarity[0])

    runs = {
        "faiss.IndexFlatIP": lambda: index.search(vectors, 1)[0].reshape(grid),
        "compnn exhaustive": lambda: search("exhaustive"),
        "compnn HyperPatch-Match": lambda: search("hyperpatch-match"),
    }
    best = dict.fromkeys(runs, float("inf"))
    found = {}
    for _ in range(options.repeat):
        for name, run in runs.items():
            seconds, found[name] = timed(run)
            best[name] = min(best[name], seconds)

    exact = found["faiss.IndexFlatIP"]
    print(f"{vectors.shape[0]} queries, {index.ntotal} candidates, {vectors.shape[1]} dimensions,")
    print(f"{options.threads} threads, kernels {_core.simd_level()}, best of {options.repeat}")
    print("| method | seconds | times faster than FAISS | mean similarity | largest difference |")
    print("|---|---|---|---|---|")
    for name, seconds in best.items():
        ratio = best["faiss.IndexFlatIP"] / seconds
        difference = np.abs(found[name] - exact).max()
        mean = found[name].mean(dtype=np.float64)
        print(f"| {name} | {seconds:.2f} | {ratio:.2f} | {mean:.4f} | {difference:.1e} |")


if __name__ == "__main__":
    main()
