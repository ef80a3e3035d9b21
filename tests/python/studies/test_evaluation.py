"""What an evaluation measures, what it leaves in its folder, and that its result is a value."""

from __future__ import annotations

import csv
import json
import multiprocessing
import pickle
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compnn.bank.bank import build
from compnn.bank.selection import Selection
from compnn.data.dataset import Pair
from compnn.errors import EvaluationError
from compnn.explanation.explainer import Explainer
from compnn.network.onnx import OnnxNetwork
from compnn.search import search as searches
from compnn.search.search import Auto, Exhaustive, HyperPatchMatch, search_from_json
from compnn.studies.evaluation import Evaluation, Row, evaluate
from compnn.studies.evaluation.journal import FILE as JOURNAL
from evaluation_cases import COUNT, LABELS, PHOTOS, line_of, numbers
from memory_dataset import MemoryDataset, patch_call
from tiny_networks import tiny_unet


def test_rows_without_a_descriptor(photo_explainer: Explainer, tmp_path: Path) -> None:
    found = evaluate(photo_explainer, PHOTOS, tmp_path, HyperPatchMatch(iterations=2), limit=1)
    assert list(dict.fromkeys(str(line.row) for line in found.lines)) == [
        "network",
        "GR decoder_2",  # the nearest to the output, though the bank has it first
        "OR decoder_2 all",
        "OR encoder_2 all",
        "IR decoder_2 all",
        "IR encoder_2 all",
    ]
    notes = " ".join(found.plan.notes)
    assert all(f"top {k} is left out: the bank has no descriptor" in notes for k in (1, 16, 32, 64))


def test_rows_with_more_images_than_may_be_used_are_left_out(
    label_explainer: Explainer, tmp_path: Path
) -> None:
    red = Selection(where=("wall=red",))
    search = HyperPatchMatch(iterations=2)
    found = evaluate(label_explainer, LABELS, tmp_path, search, among=red, limit=1)
    assert [row.searched for row in found.usage] == ["1", "all"] * 2
    assert [note[:18] for note in found.plan.notes] == [
        f"top {k} is left out" for k in (16, 32, 64)
    ]
    assert "only 3 training images" in found.plan.notes[0]
    with pytest.raises(EvaluationError, match=r"nothing to search: top 16 .*--top-k all"):
        evaluate(label_explainer, LABELS, tmp_path / "other", among=red, top_k=[16])
    for usage in found.usage.values():
        assert {image.name for image in usage.images if image.pixels} <= {"img_1", "img_3", "img_5"}
        assert {row.value: row.share for row in usage.attributes} == {"red": 1, "blue": 0}


@pytest.mark.parametrize(
    ("among", "words"),
    [
        (None, "all images"),
        ("wall=red", "where wall=red"),
        (Selection(where=("wall=red",)), "where wall=red"),
        (["img_1", 3, "img_5"], "3 chosen images"),
    ],
)
def test_images_are_chosen_as_by_an_explainer(
    label_explainer: Explainer, tmp_path: Path, among: Any, words: str
) -> None:
    found = evaluate(
        label_explainer,
        LABELS,
        tmp_path,
        Exhaustive(),
        layers=["encoder_1"],
        top_k=[None],
        among=among,
        limit=1,
    )
    assert found.settings["selection"] == words
    assert list(found.plan.allowed) == label_explainer.indices(among)
    assert words in (tmp_path / "results.md").read_text()


def test_one_global_reconstruction_where_the_descriptor_is_the_last_layer(tmp_path: Path) -> None:
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), ["decoder_2"], "decoder_2")
    explainer = Explainer(build(tmp_path / "bank", network, MemoryDataset(3)), network)
    search = HyperPatchMatch(iterations=0)
    found = evaluate(explainer, PHOTOS, tmp_path / "out", search, top_k=[1], limit=1)
    assert [line.row for line in found.lines].count(Row("GR", "decoder_2")) == 2  # two truths


def test_usage_is_that_of_the_explanations(label_explainer: Explainer, tmp_path: Path) -> None:
    search = HyperPatchMatch(iterations=4)
    found = evaluate(
        label_explainer, LABELS, tmp_path, search, layers=["decoder_2"], top_k=[2, None]
    )
    for top_k, folder in ((2, "decoder_2-top2"), (None, "decoder_2-all")):
        expected = np.zeros(COUNT, int)
        for pair in LABELS:
            explained = label_explainer.explain(pair.input, "decoder_2", search, top_k=top_k)
            expected += np.bincount(explained.provenance.image.ravel(), minlength=COUNT)
        usage = found.usage[Row("OR", "decoder_2", top_k)]
        assert {image.index: image.pixels for image in usage.images} == dict(enumerate(expected))
        # Whatever k: compared with all that may be used.
        assert [each.bank_share for each in usage.images] == pytest.approx([1 / COUNT] * COUNT)
        with open(tmp_path / "usage" / folder / "images.csv", newline="") as file:
            written = {row["name"]: int(row["pixels"]) for row in csv.DictReader(file)}
        assert written == {f"img_{index}": pixels for index, pixels in enumerate(expected)}
        assert (tmp_path / "usage" / folder / "attributes.csv").is_file()


# The search


def test_auto_is_decided_once_for_the_whole_table(
    label_explainer: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = label_explainer.bank.cells("decoder_2", [])
    grid = label_explainer.bank.layer("decoder_2").grid
    one_image = (grid[0] * grid[1]) ** 2 * cells.channels
    # One image alone would be searched exhaustively, and so would encoder_1, but not all images.
    monkeypatch.setattr(searches, "_QUICK", one_image)
    explained = patch_call(
        monkeypatch, Explainer, "explain", lambda original, *a, **k: original(*a, **k)
    )
    found = evaluate(label_explainer, LABELS, tmp_path, Auto(seed=3), top_k=[1, None])
    assert len(explained) == 4 * len(LABELS)
    assert {search for _, _, _, search in explained} == {HyperPatchMatch(seed=3)}
    assert found.search == HyperPatchMatch(seed=3)
    settings = json.loads((tmp_path / "results.json").read_text())["settings"]
    assert search_from_json(settings["search"]) == found.search
    assert settings["search_words"] == str(found.search)
    assert str(found.search) in (tmp_path / "results.md").read_text()
    # Only one image at a time: then all are quick.
    quick = evaluate(label_explainer, LABELS, tmp_path / "quick", Auto(seed=3), top_k=[1])
    assert quick.search == Exhaustive()
    # What was chosen is what was asked for: the same evaluation goes on.
    again = evaluate(label_explainer, LABELS, tmp_path, HyperPatchMatch(seed=3), top_k=[1, None])
    assert again.to_json() == found.to_json()
    assert len(explained) == 6 * len(LABELS)


def test_the_default_search_is_auto(label_explainer: Explainer, tmp_path: Path) -> None:
    found = evaluate(label_explainer, LABELS, tmp_path, limit=1, top_k=[None])
    assert found.search == label_explainer.resolved(Auto(), found.plan.layers)


# The folder and the value


def test_files_hold_what_is_returned(label_explainer: Explainer, tmp_path: Path) -> None:
    found = evaluate(label_explainer, LABELS, tmp_path, HyperPatchMatch(iterations=4), top_k=[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "images.csv",
        JOURNAL,
        "results.csv",
        "results.json",
        "results.md",
        "usage",
    ]
    assert json.loads((tmp_path / "results.json").read_text()) == found.to_json()

    def as_written(line: Mapping[str, Any]) -> dict[str, Any]:
        """Numbers of a CSV file have six digits."""
        return {
            key: float(f"{value:.6g}") if isinstance(value, float) else value
            for key, value in line.items()
            if value is not None
        }

    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, line in zip(rows, found.to_json()["lines"], strict=True):
        text = ("reconstruction", "layer", "top_k", "against")
        read: Mapping[str, Any] = {
            key: cell if key in text else float(cell) for key, cell in row.items() if cell
        }
        assert read == as_written(line)
    with open(tmp_path / "images.csv", newline="") as file:
        images = list(csv.DictReader(file))
    assert len(images) == len(LABELS) * len(rows)
    network = [row for row in images if row["reconstruction"] == "network"]
    assert [row["image"] for row in network] == ["img_0", "img_1", "img_2"]
    accuracies = [found.image_lines[row["image"]][0].values["pixel_accuracy"] for row in network]
    assert [row["pixel_accuracy"] for row in network] == [f"{value:.6g}" for value in accuracies]
    assert np.mean(accuracies) == pytest.approx(found.lines[0].values["pixel_accuracy"])
    document = (tmp_path / "results.md").read_text()
    line = line_of(found, Row("OR", "decoder_2", 1), "target")
    accuracy, change = line.values["pixel_accuracy"], line.changes["pixel_accuracy"]
    assert f"| OR decoder_2 top 1 | {accuracy:.1%} ({100 * change:+.1f}) |" in document


def test_names_of_strangers_reach_the_files_as_escapes(tmp_path: Path) -> None:
    hostile = {"img_0": "caf\udce9", "img_1": "\x1b[31mred\r", "img_2": "=1+1"}

    class Renamed(MemoryDataset):
        def __init__(self, seed: int) -> None:
            super().__init__(3, seed=seed)
            self._names = tuple(sorted(hostile.values()))
            self.pairs = {
                name: Pair(name, self.pairs[plain].input, self.pairs[plain].target)
                for plain, name in hostile.items()
            }

    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), ["encoder_2"], "encoder_3")
    train = Renamed(0)
    train._attributes = {name: {"=key": "\x07"} for name in train.names}
    explainer = Explainer(build(tmp_path / "bank\x1b[2J", network, train), network)
    folder = tmp_path / "out"
    found = evaluate(explainer, Renamed(1), folder, Exhaustive(), top_k=[2, None])
    assert [record.image for record in found.records] == sorted(hostile.values())
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode()  # UTF-8
            assert not any(ord(character) < 32 and character != "\n" for character in text), path
    assert json.loads((folder / "results.json").read_text()) == found.to_json()
    with open(folder / "images.csv", newline="") as file:
        written = {row["image"] for row in csv.DictReader(file)}
    assert written == {"caf\\xE9", "\\x1B[31mred\\x0D", "'=1+1"}
    # The same call resumes: nothing is measured again.
    again = evaluate(explainer, Renamed(1), folder, Exhaustive(), top_k=[2, None])
    assert again.to_json() == found.to_json()


def test_the_bank_may_change_meanwhile(label_explainer: Explainer, tmp_path: Path) -> None:
    """What is evaluated is the bank as it was at the beginning."""
    network = label_explainer.network
    explainer = Explainer(shutil.copytree(label_explainer.bank.path, tmp_path / "bank"), network)
    options: dict[str, Any] = {"layers": ["encoder_1"], "top_k": [2, None]}

    def drop(done: int, total: int) -> None:
        if done == 1:
            explainer.bank.drop(["img_0", "img_3"])

    found = evaluate(explainer, LABELS, tmp_path / "out", Exhaustive(), progress=drop, **options)
    assert len(explainer.bank) == COUNT - 2
    still = evaluate(label_explainer, LABELS, tmp_path / "still", Exhaustive(), **options)
    assert numbers(found) == numbers(still)
    assert found.usage == still.usage


def as_json(found: Evaluation) -> tuple[dict[str, Any], list[Any]]:
    """What another process makes of an evaluation."""
    return found.to_json(), [(str(row), each.to_json()) for row, each in found.usage.items()]


def test_an_evaluation_is_a_value(label_explainer: Explainer, tmp_path: Path) -> None:
    """It can be pickled, and read where neither bank nor folder is any more."""
    copied = shutil.copytree(label_explainer.bank.path, tmp_path / "bank")
    with Explainer(copied, label_explainer.network).bank as bank:
        explainer = Explainer(bank, label_explainer.network)
        found = evaluate(explainer, LABELS, tmp_path / "out", Exhaustive(), top_k=[1, None])
    data = pickle.dumps(found)
    shutil.rmtree(copied)
    shutil.rmtree(tmp_path / "out")
    loaded = pickle.loads(data)
    assert numbers(loaded) == numbers(found)
    assert loaded.usage == found.usage
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert pool.submit(as_json, loaded).result() == as_json(found)
