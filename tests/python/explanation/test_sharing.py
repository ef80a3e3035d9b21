"""Explainers shared by threads and processes, and banks that change under explanations."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank.bank import Bank, build
from compnn.errors import BankError
from compnn.explanation.explainer import Explainer
from compnn.images.files import write_image
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Exhaustive, HyperPatchMatch
from engine import environment
from explained import HELD_OUT, LONG, QUERY, TRAIN, described, explained_by, same_field
from memory_dataset import MemoryDataset, contents
from tiny_networks import UNET_LAYERS

QUICK = HyperPatchMatch(iterations=2)


# Threads


def test_threads_explain_as_one_alone(copied: Path, network: OnnxNetwork) -> None:
    explainer = Explainer(copied)
    queries = [pair.input for pair in HELD_OUT] * 2
    alone = [Explainer(copied, network).explain(query, "encoder_1", LONG) for query in queries]
    with ThreadPoolExecutor(len(queries)) as pool:
        found = list(pool.map(lambda q: explainer.explain(q, "encoder_1", LONG), queries))
        outputs = list(pool.map(lambda each: each.output, found))
    for each, output, expected in zip(found, outputs, alone, strict=True):
        assert same_field(each, expected)
        np.testing.assert_array_equal(output, expected.output)


def test_threads_do_what_they_do_alone(copied: Path, network: OnnxNetwork) -> None:
    """Other layers, the nearest images, and classes of all kinds at once, with nothing open yet."""
    calls: list[Any] = [
        lambda explainer, layer=layer: explainer.explain(QUERY, layer, QUICK, top_k=2).field.image
        for layer in UNET_LAYERS
    ]
    calls += [lambda explainer: explainer.nearest(QUERY, 3)] * 3
    calls += [lambda explainer: explainer.nearest(QUERY, 3, layer="encoder_1")] * 3
    calls += [lambda explainer: explainer.explain(QUERY, "encoder_2").output] * 3
    expected = [call(Explainer(copied, network)) for call in calls]
    explainer = Explainer(copied, network)
    with ThreadPoolExecutor(len(calls)) as pool:
        found = list(pool.map(lambda call: call(explainer), calls))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


# Processes


def test_processes_read_one_bank(bank: Bank, tmp_path: Path) -> None:
    write_image(tmp_path / "query.png", QUERY)
    program = (
        "import sys, compnn; explainer = compnn.Explainer(sys.argv[1]); sys.stdin.readline();"
        "search = compnn.HyperPatchMatch(iterations=16);"
        "found = explainer.explain(sys.argv[2], 'encoder_2', search);"
        "print(found.field.image.tolist())"
    )
    command = [sys.executable, "-c", program, str(bank.path), str(tmp_path / "query.png")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=environment(), **pipes) for _ in range(2)]
    search = HyperPatchMatch(iterations=16)
    expected = Explainer(bank).explain(QUERY, "encoder_2", search).field.image.tolist()
    for process in processes:  # both have the bank open
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert json.loads(output) == expected


def test_explaining_leaves_the_bank_as_it_is(copied: Path, network: OnnxNetwork) -> None:
    before = contents(copied)
    explainer = Explainer(copied, network)
    for found in next(explainer.explain_all([QUERY], None, QUICK, top_k=2)).values():
        assert found.output.shape == QUERY.shape
    assert contents(copied) == before
    assert not explainer.bank.inputs.picture(0).flags.writeable


def test_explainers_and_explanations_work_in_another_process(explainer: Explainer) -> None:
    expected = explained_by(explainer)
    explanation = explainer.explain(QUERY, "encoder_2", LONG, top_k=3)
    reading = explainer.read(QUERY)
    near = explainer.nearest(reading, 3)
    again = pickle.loads(pickle.dumps(explainer))
    assert explained_by(again) == expected
    assert repr(again.bank) == repr(explainer.bank)
    with get_context("spawn").Pool(1) as pool:
        assert pool.apply(explained_by, (explainer,)) == expected
        assert pool.apply(described, (explanation,)) == expected
        assert pool.apply(Explainer.nearest, (explainer, reading, 3)) == near


def test_a_pickle_of_a_generation_that_is_gone_is_an_error(
    copied: Path, network: OnnxNetwork
) -> None:
    explainer = Explainer(copied, network)
    found = explainer.explain(QUERY, "encoder_2", QUICK)
    pickles = [pickle.dumps(each) for each in (explainer, explainer.bank, found)]
    for each in pickles:
        pickle.loads(each)
    explainer.bank.close()
    del explainer, found
    with Bank(copied) as other:
        other.drop(["img_0"])
    for each in pickles:
        with pytest.raises(BankError, match=r"generation"):
            pickle.loads(each)


# A bank that changes


def test_an_explanation_stays_what_it_was(copied: Path, network: OnnxNetwork) -> None:
    """The bank of its explainer loses images and gets others; the explanation points to the old."""
    explainer = Explainer(copied, network)
    found = explainer.explain(QUERY, "encoder_2", LONG)
    lazy = explainer.explain(QUERY, "encoder_2", LONG)
    expected = described(found)
    before = explained_by(explainer, [3, 4, 5])
    more = MemoryDataset(9, seed=5)
    explainer.bank.drop(["img_0", "img_2"])
    explainer.bank.append(network, more.subset(["img_6", "img_7", "img_8"]))
    explainer.bank.set_attributes(None)
    assert described(found) == expected
    assert described(lazy) == expected
    # The explainer goes on with the bank as it is now.
    names = [*(f"img_{index}" for index in (1, 3, 4, 5)), "img_6", "img_7", "img_8"]
    now = explainer.explain(QUERY, "encoder_2", LONG)
    assert sorted(each.name for each in now.candidates) == names
    assert explained_by(explainer) == explained_by(Explainer(copied, network))
    after = explained_by(explainer, ["img_3", "img_4", "img_5"])
    assert [each.name for each in after[2]] == [each.name for each in before[2]]
    assert after[3:8] == before[3:8]


def test_images_that_are_dropped_between_two_are_explained_with_still(
    copied: Path, network: OnnxNetwork
) -> None:
    """One call explains with one state of the bank."""
    explainer = Explainer(copied, network)
    expected = described(explainer.explain(QUERY, "encoder_2", LONG))
    all_of_them = explainer.explain_all([QUERY, QUERY], ["encoder_2"], LONG)
    assert described(next(all_of_them)["encoder_2"]) == expected
    explainer.bank.drop(["img_0", "img_1", "img_2"])
    assert described(next(all_of_them)["encoder_2"]) == expected
    assert described(explainer.explain(QUERY, "encoder_2", LONG)) != expected


def test_an_explanation_outlives_the_bank_that_is_overwritten(
    copied: Path, network: OnnxNetwork
) -> None:
    found = Explainer(copied, network).explain(QUERY, "encoder_2", Exhaustive())
    expected = described(Explainer(copied, network).explain(QUERY, "encoder_2", Exhaustive()))
    build(copied, network, MemoryDataset(3, seed=7), overwrite=True)
    assert described(found) == expected
    assert len(Bank(copied)) == 3


def test_a_closed_bank_says_so(copied: Path, network: OnnxNetwork) -> None:
    with Bank(copied) as bank:
        explainer = Explainer(bank, network)
        explainer.explain(QUERY, "encoder_2", QUICK)
    with pytest.raises(BankError, match="has been closed"):
        explainer.explain(QUERY, "encoder_2", QUICK)


def test_a_copy_of_a_bank_stays_when_the_bank_changes(copied: Path) -> None:
    bank = Bank(copied)
    same = copy.copy(bank)
    bank.drop(["img_0"])
    assert same.names == TRAIN.names
    assert bank.names == TRAIN.names[1:]
    assert (same.generation, bank.generation) == (1, 2)
    np.testing.assert_array_equal(same.inputs.picture(0), TRAIN[0].input)
    np.testing.assert_array_equal(bank.inputs.picture(0), TRAIN[1].input)
