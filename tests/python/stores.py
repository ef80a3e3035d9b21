"""What tests of banks share: arrays of shards by image, and searches by the engine alone."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn import _core
from compnn.bank import layout
from compnn.bank.bank import Bank
from compnn.data.dataset import Pair
from compnn.network.onnx import OnnxNetwork
from reference import dequantised

Field = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


def load(path: Path, file: str, shape: tuple[int, ...] = (), shard: int = 0) -> npt.NDArray[Any]:
    """An array of a shard, by NumPy alone; with the shape of the images, (N, *shape, ...)."""
    array = np.load(path / "shards" / str(shard) / file)
    return array.reshape(-1, *shape, *array.shape[1:]) if shape else array


def record(bank: Bank, file: str, image: int) -> npt.NDArray[Any]:
    """The rows of an image, in an array of whichever shard it is in."""
    shard, slot = bank._opened.tables.images[image].tolist()
    return bank._opened.shards[shard].record(file, slot)


def activation(bank: Bank, layer: str, image: int) -> npt.NDArray[np.float64]:
    """What the bank keeps of an activation, (h, w, D)."""
    shard, _ = bank._opened.tables.images[image].tolist()
    cells = record(bank, layout.activations_file(layer), image)
    norms = record(bank, layout.norms_file(layer), image)
    directions = bank._opened.shards[shard].directions(layer)
    numbers = dequantised(cells, norms).astype(np.float64)
    if directions is not None:
        numbers = numbers @ directions
    return numbers.reshape(*bank.layer_of(layer, image).shape[:2], -1)


def search(
    bank: Bank,
    network: OnnxNetwork,
    image: npt.NDArray[np.uint8],
    layer: str,
    *,
    images: Sequence[int] | None = None,
    approximate: bool = False,
    hyperpatch: tuple[int, int] | None = None,
    **options: Any,
) -> Field:
    """The field (image, row, col, similarity) of an image, among all or some of the bank's."""
    candidates = bank.indices(images)
    size = hyperpatch or bank.layer(layer).hyperpatch
    cells = bank.cells(layer, candidates)
    queries = cells.pack(network.read(image, [layer]).taps[layer], "the query", size)
    run = _core.hyperpatch_match if approximate else _core.exhaustive_search
    return run(cells.core, queries, np.array(candidates, np.int32), size, **options)


def check_that_images_find_themselves(
    bank: Bank,
    network: OnnxNetwork,
    pairs: Iterable[Pair],
    layer: str,
    hyperpatch: tuple[int, int] | None = None,
) -> None:
    """By exhaustive search, place for place; `pairs` are the bank's."""
    for index, pair in enumerate(pairs):
        image, row, col, similarity = search(
            bank, network, pair.input, layer, hyperpatch=hyperpatch
        )
        rows, cols = np.indices(image.shape[1:])
        np.testing.assert_allclose(similarity, 1, atol=1e-6)
        assert (image == index).all()
        np.testing.assert_array_equal(row[0], rows)
        np.testing.assert_array_equal(col[0], cols)


def check_pairs(bank: Bank, pairs: Iterable[Pair]) -> None:
    """The bank holds exactly these pairs, in this order."""
    pairs = list(pairs)
    assert bank.names == tuple(pair.name for pair in pairs)
    for index, pair in enumerate(pairs):
        stored_input, stored_target = bank.pair(index)
        np.testing.assert_array_equal(stored_input, pair.input)
        np.testing.assert_array_equal(stored_target, pair.target)


def python(program: str, **options: Any) -> subprocess.Popen[bytes]:
    """Run a program that may import what these tests import."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, **options
    )
