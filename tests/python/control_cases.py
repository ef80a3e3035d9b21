"""Banks that property control is tried on, and a query."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compnn.bank.bank import build
from compnn.explanation.explainer import Explainer
from compnn.explanation.query import Query
from compnn.network.onnx import OnnxNetwork
from memory_dataset import MemoryDataset
from tiny_networks import tiny_segnet, tiny_unet

_KINDS = {"img_0": "a", "img_1": "b", "img_2": "b", "img_3": "b"}


def explainer_of_photos(folder: Path) -> Explainer:
    """Six random photo pairs at two layers; four have the attribute `kind`."""
    network = OnnxNetwork(tiny_unet(folder / "unet.onnx"), ["encoder_2", "decoder_2"], "encoder_3")
    pairs = MemoryDataset(6, attributes={name: {"kind": kind} for name, kind in _KINDS.items()})
    return Explainer(build(folder / "photos.bank", network, pairs), network)


def explainer_of_labels(folder: Path) -> Explainer:
    """Five photos with label maps of five classes in squares; the first three have no class 4."""
    dataset = MemoryDataset(5, (24, 32), classes=5)
    for number, pair in enumerate(dataset.pairs.values()):
        squares = np.arange(48, dtype=np.uint8).reshape(6, 8) % (4 if number < 3 else 5)
        pair.target[:] = squares.repeat(4, axis=0).repeat(4, axis=1)
    network = OnnxNetwork(tiny_segnet(folder / "segnet.onnx"), ["decoder_1"])
    return Explainer(build(folder / "labels.bank", network, dataset), network)


def query_of(size: tuple[int, int] = (32, 32), classes: int | None = None) -> Query:
    """A query with its target."""
    pair = MemoryDataset(1, size, classes=classes, seed=9)[0]
    return Query("q", pair.input, pair.target)
