"""Explanations in several processes while another one overwrites, appends and drops.

Each state that the bank goes through is built once by itself; an explanation must be exactly that
of the state whose names it has, whatever became of the bank meanwhile. `--long` runs thousands.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest

from compnn.bank.bank import Bank, build
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Explanation
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Exhaustive
from memory_dataset import MemoryDataset
from tiny_networks import tiny_unet

LAYER = "encoder_2"
VARIANTS = 2
FEW, MORE = 4, 2
QUERY = MemoryDataset(1, seed=99)[0].input


class Variant(MemoryDataset):
    """Pairs whose names tell the variant, so that the names of a state are its own."""

    def __init__(self, variant: int, first: int, count: int) -> None:
        super().__init__(first + count, seed=variant)
        names = [f"v{variant}_{index}" for index in range(first, first + count)]
        self.pairs = {
            name: self.pairs[f"img_{index}"]
            for name, index in zip(names, range(first, first + count), strict=True)
        }
        self._names = tuple(names)


def digest(explanation: Explanation) -> str:
    """Of all that an explanation says: field, names, pictures."""
    field = explanation.field
    parts = [field.image, field.row, field.col, field.similarity]
    parts += [explanation.input, explanation.output]
    text = hashlib.sha256()
    for part in parts:
        text.update(np.ascontiguousarray(part).tobytes())
    for source in explanation.sources():
        text.update(f"{source.index} {source.name} {source.pixels}".encode())
        for picture in explanation.source_images(source.index):
            text.update(np.ascontiguousarray(picture).tobytes())
    return text.hexdigest()


def states(folder: Path, network: OnnxNetwork) -> dict[tuple[str, ...], str]:
    """The digest of the explanation in every state, by the state's names."""
    expected = {}
    for variant in range(VARIANTS):
        bank = build(folder / f"state-{variant}", network, Variant(variant, 0, FEW))
        for change in (
            lambda bank: None,
            lambda bank: bank.append(network, Variant(variant, FEW, MORE)),  # noqa: B023
            lambda bank: bank.drop([bank.names[0]]),
        ):
            change(bank)
            found = Explainer(bank, network).explain(QUERY, LAYER, Exhaustive())
            expected[tuple(bank.names)] = digest(found)
        bank.close()
    return expected


def explain_again_and_again(
    path: Path,
    network: Path,
    expected: dict[tuple[str, ...], str],
    count: int,
    wrong: multiprocessing.Queue[str],
    done: Event,
) -> None:
    """Explain `count` times, some of them with a bank that was opened a while ago."""
    model = OnnxNetwork(network, None, "encoder_3", num_threads=1)
    try:
        explained = 0
        while explained < count and not done.is_set():
            with Bank(path) as bank:
                explainer = Explainer(bank, model, num_threads=1)
                for _ in range(min(4, count - explained)):
                    found = digest(explainer.explain(QUERY, LAYER, Exhaustive()))
                    if expected.get(tuple(bank.names)) != found:
                        wrong.put(f"generation {bank.generation} of {bank.names}")
                    explained += 1
        wrong.put("")
    except BaseException as error:
        wrong.put(f"{type(error).__name__}: {error}")
        raise


def test_explanations_are_of_one_generation(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    processes, count = (8, 250) if request.config.getoption("--long") else (2, 20)
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), None, "encoder_3", num_threads=1)
    expected = states(tmp_path, network)
    assert len(expected) == 3 * VARIANTS
    path = tmp_path / "bank"
    build(path, network, Variant(0, 0, FEW)).close()

    context = multiprocessing.get_context("spawn")
    wrong: multiprocessing.Queue[str] = context.Queue()
    done = context.Event()
    readers = [
        context.Process(
            target=explain_again_and_again,
            args=(path, network.path, expected, count, wrong, done),
        )
        for _ in range(processes)
    ]
    for reader in readers:
        reader.start()
    changes = 0
    while any(reader.is_alive() for reader in readers):
        variant = changes % VARIANTS
        bank = build(path, network, Variant(variant, 0, FEW), overwrite=True)
        bank.append(network, Variant(variant, FEW, MORE))
        bank.drop([bank.names[0]])
        bank.close()
        changes += 1
    for reader in readers:
        reader.join()
    said = [wrong.get(timeout=60) for _ in readers]
    while not wrong.empty():
        said.append(wrong.get())
    assert [each for each in said if each] == []
    assert changes > 1
    # Nothing is left of generations that nobody has open.
    with Bank(path) as bank:
        assert len(list((path / "generations").iterdir())) == 1
        assert len(bank) == FEW + MORE - 1
