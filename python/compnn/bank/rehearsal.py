"""The dry run at the start of a build: what would spoil it is found with one pair."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compnn.bank.pairs import PairReader
from compnn.bank.tables import SkippedImage
from compnn.data.dataset import Dataset, Pair
from compnn.errors import ActivationError, NetworkError
from compnn.network.network import Network

# Two runs differ by less, relative to the largest number, on devices that add in any order.
SAME = 1e-3


@dataclass(frozen=True)
class Rehearsal:
    """What the dry run has found.

    Attributes
    ----------
    pair
        The pair that the network was run on.
    seconds
        Of one run.
    output
        What the network's output is taken for, in words.
    """

    pair: Pair
    seconds: float
    output: str


def rehearse(
    network: Network, dataset: Dataset, reader: PairReader, taps: Sequence[str]
) -> Rehearsal | None:
    """Run a network twice on the first pair that can be used.

    Parameters
    ----------
    network, dataset
        The network, and the pairs that a bank will be built from.
    reader
        Reads them.
    taps
        What the bank will keep.

    Returns
    -------
    None where no pair can be used.

    Raises
    ------
    ImageError
        If a pair cannot be read or does not fit, unless such pairs are skipped.
    DatasetError
        If the output cannot be what the targets are.
    ActivationError
        If something is NaN or infinite: it names tensor and image.
    NetworkError
        If the second run gives other numbers than the first.
    """
    pair = next(
        (
            found
            for found in map(reader.read, range(len(dataset)))
            if not isinstance(found, SkippedImage)
        ),
        None,
    )
    if pair is None:
        return None
    kind = dataset.target_kind
    output = network.describe_output(kind)
    first = network.read(pair.input, taps, output=True, name=pair.name)
    start = time.perf_counter()
    second = network.read(pair.input, taps, output=True, name=pair.name)
    seconds = time.perf_counter() - start
    for tap in taps:
        _check(network, tap, first.tap(tap), second.tap(tap), pair.name)
    if first.output is not None and second.output is not None:
        _check(network, "the output", first.output, second.output, pair.name)
        size = pair.input.shape[0], pair.input.shape[1]
        kind.check(
            network.paint(first.output, size, kind), f"what {network.name} paints for {pair.name}"
        )
    return Rehearsal(pair, seconds, output)


def _check(
    network: Network,
    what: str,
    first: npt.NDArray[np.float32],
    second: npt.NDArray[np.float32],
    image: str,
) -> None:
    if not np.isfinite(first).all():
        raise ActivationError(
            f"{what} of {network.name} is NaN or infinite for {image}; check the network, and the "
            f"range of its input"
        )
    difference = float(np.abs(first - second).max(initial=0))
    if difference > SAME * float(np.abs(first).max(initial=0)):
        raise NetworkError(
            f"{network.name} is random: run twice over {image}, {what} differs by "
            f"{difference:.3g}. Dropout, or another operator that draws random numbers, is on; "
            f"export the network in evaluation mode (`module.eval()`)"
        )
