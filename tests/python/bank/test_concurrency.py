"""Processes that read a bank while another one overwrites, appends, drops and compacts."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from compnn import _core
from compnn.bank.bank import Bank, build
from memory_dataset import MemoryDataset
from numpy_network import NumpyNetwork
from stores import python

SIZE = (16, 16)
NETWORK = NumpyNetwork(SIZE)
READERS = 3
ROUNDS = 25


def pixels_of(bank_round: int) -> MemoryDataset:
    """The images of a round of the writer: the names are always the same ones."""
    return MemoryDataset(5, SIZE, seed=bank_round)


def more_of(bank_round: int) -> MemoryDataset:
    return MemoryDataset(3, SIZE, seed=100 + bank_round, prefix="more_")


def read_one(path: Path) -> int:
    """Open the bank, use all of it, and return which generation it is.

    The attribute of an image tells the round of the writer; so the pixels are known.
    """
    with Bank(path) as bank:
        count = len(bank)
        assert len(bank.names) == count
        tag = bank.attributes["img_1"]["round"]
        images = {pair.name: pair for pair in (*pixels_of(int(tag)), *more_of(int(tag)))}
        cells = bank.cells("wide", range(count))
        for index, name in enumerate(bank.names):
            given, target = bank.pair(index)
            np.testing.assert_array_equal(given, images[name].input)
            np.testing.assert_array_equal(target, images[name].target)
        last = count - 1
        raw = NETWORK.read(images[bank.names[last]].input, ["wide"]).taps["wide"]
        queries = cells.pack(raw, "q", (2, 2))
        everything = np.arange(count, dtype=np.int32)
        found = _core.exhaustive_search(cells.core, queries, everything, (2, 2), num_threads=1)
        assert (found[0] == last).all()
        np.testing.assert_allclose(found[3], 1, atol=1e-6)
        return bank.generation


def read_until_told(path: str) -> None:
    """What each reader does, until its input ends; prints how often, or what went wrong."""
    seen, generations = 0, set()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        generations.add(read_one(Path(path)))
        seen += 1
        if seen == 1:
            print("ready", flush=True)
    print(seen, len(generations))


PROGRAM = (
    "from tests.python.bank import test_concurrency; test_concurrency.read_until_told({path!r})"
)


def with_round(dataset: MemoryDataset, bank_round: int) -> MemoryDataset:
    dataset._attributes = {"img_1": {"round": str(bank_round)}} if "img_1" in dataset.pairs else {}
    return dataset


def test_readers_are_never_wrong(tmp_path: Path) -> None:
    path = tmp_path / "bank"
    build(path, NETWORK, with_round(pixels_of(0), 0)).close()
    readers = [
        python(
            PROGRAM.format(path=str(path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(READERS)
    ]
    try:
        for reader in readers:  # each has read once
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"ready\n"
        for bank_round in range(1, ROUNDS):
            dataset = with_round(pixels_of(bank_round), bank_round)
            with build(path, NETWORK, dataset, overwrite=True) as bank:
                bank.append(NETWORK, more_of(bank_round))
                bank.drop(["img_0", "img_3"])
                if bank_round % 3 == 0:
                    bank.compact()
            assert all(reader.poll() is None for reader in readers)
    finally:
        results = [reader.communicate(timeout=120) for reader in readers]
    for output, error in results:
        assert error == b""
        seen, generations = map(int, output.split())
        assert seen >= generations >= 2
    Bank(path).verify()
