"""What a bank's network made of one image: by it another form of the same network is known.

A module and its exported file, another version of ONNX Runtime, a GPU: none has the fingerprint of
what the bank was built with, and all of them give its activations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.network.network import Network

# Of a tap so many cells are kept, evenly chosen.
_CELLS = 256
_INPUT, _OUTPUT = "input", "output"


def probe(
    network: Network, image: npt.NDArray[np.uint8], taps: Sequence[str]
) -> dict[str, npt.NDArray[Any]]:
    """What a network makes of an image: some cells (n, D) float32 of each tap and of the output.

    The image is among them, uint8 (H, W, C), as the network saw it.
    """
    reading = network.read(image, taps, output=network.output_name is not None)
    found: dict[str, npt.NDArray[Any]] = {_INPUT: reading.image}
    found |= {f"tap {tap}": _some_cells(reading.tap(tap)) for tap in taps}
    if reading.output is not None:
        found[_OUTPUT] = _some_cells(reading.output)
    return found


def disagreement(
    kept: Mapping[str, npt.NDArray[Any]], network: Network, taps: Sequence[str]
) -> tuple[float, str]:
    """How far a network is from one that was probed, and in which tap, or its output.

    The largest difference of two numbers, relative to the largest number of that tensor; infinite
    where shapes differ.

    Raises
    ------
    CompnnError
        If the network cannot be run on the image, or lacks a tap.
    """
    found = probe(network, kept[_INPUT], taps)
    worst = 0.0, ""
    for key in sorted((kept.keys() | found.keys()) - {_INPUT}):
        worst = max(worst, (_difference(kept.get(key), found.get(key)), key))
    return worst


def _difference(one: npt.NDArray[Any] | None, other: npt.NDArray[Any] | None) -> float:
    if one is None or other is None or one.shape != other.shape:
        return math.inf
    largest = float(np.abs(one).max(initial=0))
    difference = float(np.abs(one - other).max(initial=0))
    if difference == 0:
        return 0.0
    return difference / largest if largest > 0 and math.isfinite(difference) else math.inf


def _some_cells(activation: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    depth = activation.shape[0]
    cells = activation.reshape(depth, -1)
    count = cells.shape[1]
    chosen = np.linspace(0, count - 1, min(count, _CELLS)).round().astype(np.int64)
    return np.ascontiguousarray(cells[:, chosen].T)
