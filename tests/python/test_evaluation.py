"""Evaluation over a validation set: its numbers against other libraries, and how it resumes."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import accuracy_score, jaccard_score, recall_score

import compnn
from compnn.bank.bank import Bank
from compnn.data.dataset import Dataset, Pair
from compnn.errors import DatasetError, EvaluationError, ImageError, LayerError, SearchError
from compnn.studies.evaluation import Evaluation, Line, Row, evaluate
from compnn.studies.evaluation.comparison import LabelComparison
from compnn.studies.evaluation.journal import FILE as JOURNAL
from compnn.studies.evaluation.journal import Journal
from compnn.network.onnx import Model
from compnn.images.palette import Palette
from compnn.network.preprocessing import Preprocessing
from compnn.bank.selection import Selection
from memory_dataset import MemoryDataset, contents, grey_palette, patch_call
from tiny_networks import tiny_segnet, tiny_unet

COUNT, CLASSES, SIZE = 6, 5, (24, 32)
ATTRIBUTES = {f"img_{index}": {"wall": "red" if index % 2 else "blue"} for index in range(COUNT)}
TRAIN_LABELS = MemoryDataset(COUNT, SIZE, classes=CLASSES, attributes=ATTRIBUTES)
LABELS = MemoryDataset(3, SIZE, classes=CLASSES, seed=1)
PHOTOS = MemoryDataset(3, seed=1)
LABEL_MEASURES = ("pixel_accuracy", "class_accuracy", "mean_iou", "frequency_weighted_iou")

Image = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def label_bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Photos to labels; its layers are named in the order in which the network runs."""
    folder = tmp_path_factory.mktemp("labels")
    model = Model(tiny_segnet(folder / "segnet.onnx"), ["encoder_1", "decoder_2"], "encoder_2")
    return Bank.build(folder / "bank", model, TRAIN_LABELS)


@pytest.fixture(scope="module")
def photo_bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Photos to photos, without a descriptor; the layer nearest to the output comes first."""
    folder = tmp_path_factory.mktemp("photos")
    model = Model(tiny_unet(folder / "unet.onnx"), ["decoder_2", "encoder_2"])
    return Bank.build(folder / "bank", model, MemoryDataset(COUNT))


def numbers(found: Evaluation) -> list[dict[str, Any]]:
    """All lines, less what the clock decides."""
    lines = [json.loads(json.dumps(line)) for line in found.to_json()["lines"]]
    for line in lines:
        del line["seconds"]
    return lines


def line_of(found: Evaluation, row: Row, against: str) -> Line:
    [line] = [line for line in found.lines if (line.row, line.against) == (row, against)]
    return line


def expected_of_labels(truths: list[Image], others: list[Image]) -> dict[str, float]:
    """By scikit-learn's scores; a class that no map has does not count."""
    truth, other = np.concatenate(truths).ravel(), np.concatenate(others).ravel()
    true = np.unique(truth)
    values = (
        np.mean(
            [accuracy_score(a.ravel(), b.ravel()) for a, b in zip(truths, others, strict=True)]
        ),
        recall_score(truth, other, labels=true, average="macro", zero_division=0),
        jaccard_score(truth, other, average="macro"),
        jaccard_score(truth, other, average="weighted"),
    )
    return dict(zip(LABEL_MEASURES, map(float, values), strict=True))


def expected_of_photos(truths: list[Image], others: list[Image]) -> dict[str, float]:
    pairs = list(zip(truths, others, strict=True))
    return {
        "psnr": float(np.mean([peak_signal_noise_ratio(*pair) for pair in pairs])),
        "ssim": float(np.mean([structural_similarity(*pair, channel_axis=2) for pair in pairs])),
    }


# The numbers


@pytest.mark.parametrize("composition", ["copy", "overlap"])
def test_label_maps_are_measured_as_by_scikit_learn(
    label_bank: Bank, tmp_path: Path, composition: Any
) -> None:
    found = evaluate(
        label_bank,
        LABELS,
        tmp_path,
        layers=["encoder_1"],
        top_k=[2, None],
        composition=composition,
        method="exhaustive",
    )
    targets = [pair.target for pair in LABELS]
    queries = [pair.input for pair in LABELS]
    raw = [label_bank.model.run(query[None], [], output=True)[1] for query in queries]
    network = [np.argmax(one[0], axis=0).astype(np.uint8) for one in raw]
    baseline = expected_of_labels(targets, network)
    first = found.lines[0]
    assert (first.row, first.against, first.changes) == (Row("network"), "target", {})
    assert first.values == pytest.approx(baseline)
    assert math.isnan(first.similarity)
    for top_k in (2, None):
        explained = [
            label_bank.explain(
                query, "encoder_1", top_k=top_k, method="exhaustive", composition=composition
            )
            for query in queries
        ]
        outputs = [each.output for each in explained]
        line = line_of(found, Row("OR", "encoder_1", top_k), "target")
        expected = expected_of_labels(targets, outputs)
        assert line.values == pytest.approx(expected)
        changes = {name: expected[name] - baseline[name] for name in LABEL_MEASURES}
        assert line.changes == pytest.approx(changes, abs=1e-12)
        similarities = [each.field.mean_similarity for each in explained]
        assert line.similarity == pytest.approx(np.mean(similarities))
        line = line_of(found, Row("OR", "encoder_1", top_k), "network")
        assert line.values == pytest.approx(expected_of_labels(network, outputs))
        assert line.changes == {}
        line = line_of(found, Row("IR", "encoder_1", top_k), "input")
        inputs = [each.input for each in explained]
        assert line.values == pytest.approx(expected_of_photos(queries, inputs))


def test_photos_are_measured_as_by_scikit_image(photo_bank: Bank, tmp_path: Path) -> None:
    found = evaluate(photo_bank, PHOTOS, tmp_path, layers=["encoder_2"], method="exhaustive")
    explained = [photo_bank.explain(p.input, "encoder_2", method="exhaustive") for p in PHOTOS]
    targets = [pair.target for pair in PHOTOS]
    baseline = expected_of_photos(targets, [each.network_output for each in explained])
    assert found.lines[0].values == pytest.approx(baseline)
    line = line_of(found, Row("OR", "encoder_2"), "target")
    expected = expected_of_photos(targets, [each.output for each in explained])
    assert line.values == pytest.approx(expected)
    assert line.changes["psnr"] == pytest.approx(expected["psnr"] - baseline["psnr"])


def test_global_reconstructions_are_the_nearest_targets(label_bank: Bank, tmp_path: Path) -> None:
    """By the descriptor, and by the whole activation of the last layer; cosines by NumPy."""
    allowed = [0, 2, 3, 5]
    found = evaluate(
        label_bank,
        LABELS,
        tmp_path,
        layers=["encoder_1"],
        top_k=[None],
        selection=Selection(exclude=("img_1", "img_4")),
        iterations=2,
    )
    assert [line.row.layer for line in found.lines if line.row.kind == "GR"] == [
        *["encoder_2"] * 2,
        *["decoder_2"] * 2,
    ]
    for tap in ("encoder_2", "decoder_2"):
        outputs, similarities = [], []

        def flat(image: Image, tap: str = tap) -> npt.NDArray[np.float64]:
            values = label_bank.model.activations(image, [tap])[tap]
            return values.astype(np.float16).astype(np.float64).ravel()

        training = np.stack([flat(TRAIN_LABELS[index].input) for index in allowed])
        for pair in LABELS:
            query = flat(pair.input)
            cosines = training @ query / np.linalg.norm(training, axis=1) / np.linalg.norm(query)
            outputs.append(TRAIN_LABELS[allowed[int(cosines.argmax())]].target)
            similarities.append(cosines.max())
        line = line_of(found, Row("GR", tap), "target")
        assert line.values == pytest.approx(
            expected_of_labels([pair.target for pair in LABELS], outputs)
        )
        assert line.similarity == pytest.approx(np.mean(similarities), abs=1e-5)


def test_void_does_not_count_and_an_image_of_void_has_no_accuracy() -> None:
    palette = replace(grey_palette(3), void=9)
    truth = np.array([[0, 1, 2, 9]], np.uint8)
    comparison = LabelComparison(palette)
    half = comparison.observe(truth, np.array([[0, 9, 1, 0]], np.uint8))
    nothing = comparison.observe(np.full((1, 4), 9, np.uint8), truth)
    values = comparison.summarise([half, nothing])
    assert values["pixel_accuracy"] == pytest.approx(1 / 3)
    assert values["mean_iou"] == pytest.approx((1 + 0 + 0) / 3)
    assert all(math.isnan(value) for value in comparison.summarise([nothing]).values())
    assert comparison.observe(palette.colourise(truth), truth) == comparison.observe(truth, truth)


class PaintedInputs(Dataset):
    """Label maps to photos, the maps painted with colours that are a little off."""

    def __init__(self, count: int, palette: Palette, seed: int) -> None:
        super().__init__([f"img_{index}" for index in range(count)], input_palette=palette)
        self._seed = seed

    def _read(self, name: str) -> Pair:
        random = np.random.default_rng((self._seed, int(name[4:])))
        labels = np.kron(random.integers(0, CLASSES, (8, 8)), np.ones((4, 4))).astype(np.uint8)
        assert self.input_palette is not None
        noise = random.integers(0, 9, (32, 32, 3), np.uint8)
        painted = self.input_palette.colourise(labels) + noise
        return Pair(name, painted, random.integers(0, 256, (32, 32, 3), np.uint8))


def test_inputs_that_are_label_maps_are_measured_as_such(tmp_path: Path) -> None:
    colours = np.arange(3 * CLASSES, dtype=np.uint8).reshape(CLASSES, 3) * 16
    palette = Palette("soft", tuple("abcde"), colours)
    model = Model(tiny_unet(tmp_path / "unet.onnx"), ["encoder_1"])
    bank = Bank.build(tmp_path / "bank", model, PaintedInputs(4, palette, 0))
    queries = PaintedInputs(2, replace(palette, name="another name"), 1)
    found = evaluate(bank, queries, tmp_path / "out", top_k=[None], method="exhaustive")
    maps = [palette.quantise(pair.input) for pair in queries]
    explained = [bank.explain(p.input, "encoder_1", method="exhaustive").input for p in queries]
    line = line_of(found, Row("IR", "encoder_1"), "input")
    expected = expected_of_labels(maps, [palette.quantise(each) for each in explained])
    assert line.values == pytest.approx(expected)


# What is evaluated


def test_rows_without_a_descriptor(photo_bank: Bank, tmp_path: Path) -> None:
    found = evaluate(photo_bank, PHOTOS, tmp_path, limit=1, iterations=2)
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
    label_bank: Bank, tmp_path: Path
) -> None:
    red = Selection(where=("wall=red",))
    found = evaluate(label_bank, LABELS, tmp_path, selection=red, limit=1, iterations=2)
    assert [row.searched for row in found.usage] == ["1", "all"] * 2
    assert [note[:18] for note in found.plan.notes] == [
        f"top {k} is left out" for k in (16, 32, 64)
    ]
    assert "only 3 training images" in found.plan.notes[0]
    with pytest.raises(EvaluationError, match=r"nothing to search: top 16 .*--top-k all"):
        evaluate(label_bank, LABELS, tmp_path / "other", selection=red, top_k=[16])
    for usage in found.usage.values():
        assert {image.name for image in usage.images if image.pixels} <= {"img_1", "img_3", "img_5"}
        assert {row.value: row.share for row in usage.attributes} == {"red": 1, "blue": 0}


def test_one_global_reconstruction_where_the_descriptor_is_the_last_layer(tmp_path: Path) -> None:
    model = Model(tiny_unet(tmp_path / "unet.onnx"), ["decoder_2"], "decoder_2")
    bank = Bank.build(tmp_path / "bank", model, MemoryDataset(3))
    found = evaluate(bank, PHOTOS, tmp_path / "out", top_k=[1], iterations=0, limit=1)
    assert [line.row for line in found.lines].count(Row("GR", "decoder_2")) == 2  # two truths


def test_usage_is_that_of_the_explanations(label_bank: Bank, tmp_path: Path) -> None:
    found = evaluate(
        label_bank, LABELS, tmp_path, layers=["decoder_2"], top_k=[2, None], iterations=4
    )
    for top_k, folder in ((2, "decoder_2-top2"), (None, "decoder_2-all")):
        expected = np.zeros(COUNT, int)
        for pair in LABELS:
            explained = label_bank.explain(pair.input, "decoder_2", top_k=top_k, iterations=4)
            expected += np.bincount(explained.provenance.image.ravel(), minlength=COUNT)
        usage = found.usage[Row("OR", "decoder_2", top_k)]
        assert {image.index: image.pixels for image in usage.images} == dict(enumerate(expected))
        # Whatever k: compared with all that may be used.
        assert [each.bank_share for each in usage.images] == pytest.approx([1 / COUNT] * COUNT)
        with open(tmp_path / "usage" / folder / "images.csv", newline="") as file:
            written = {row["name"]: int(row["pixels"]) for row in csv.DictReader(file)}
        assert written == {f"img_{index}": pixels for index, pixels in enumerate(expected)}
        assert (tmp_path / "usage" / folder / "attributes.csv").is_file()


def test_files_hold_what_is_returned(label_bank: Bank, tmp_path: Path) -> None:
    found = evaluate(label_bank, LABELS, tmp_path, top_k=[1], iterations=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "images.csv",
        JOURNAL,
        "results.csv",
        "results.json",
        "results.md",
        "usage",
    ]
    assert json.loads((tmp_path / "results.json").read_text()) == found.to_json()
    with open(tmp_path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, line in zip(rows, found.to_json()["lines"], strict=True):
        text = ("reconstruction", "layer", "top_k", "against")
        read: Mapping[str, Any] = {
            key: cell if key in text else float(cell) for key, cell in row.items() if cell
        }
        assert read == {key: value for key, value in line.items() if value is not None}
    with open(tmp_path / "images.csv", newline="") as file:
        images = list(csv.DictReader(file))
    assert len(images) == len(LABELS) * len(rows)
    network = [row for row in images if row["reconstruction"] == "network"]
    assert [row["image"] for row in network] == ["img_0", "img_1", "img_2"]
    accuracies = [float(row["pixel_accuracy"]) for row in network]
    assert np.mean(accuracies) == pytest.approx(found.lines[0].values["pixel_accuracy"])
    document = (tmp_path / "results.md").read_text()
    line = line_of(found, Row("OR", "decoder_2", 1), "target")
    accuracy, change = line.values["pixel_accuracy"], line.changes["pixel_accuracy"]
    assert f"| OR decoder_2 top 1 | {accuracy:.1%} ({100 * change:+.1f}) |" in document


# Resuming


def run_until(count: int, *arguments: Any, **options: Any) -> None:
    """Evaluate, and interrupt when `count` images are finished."""

    def progress(done: int, total: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(*arguments, **options, progress=progress)


def test_an_interrupted_evaluation_resumes_to_the_same_numbers(
    label_bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"layers": ["decoder_2"], "top_k": [2, None], "iterations": 8}
    whole = evaluate(label_bank, LABELS, tmp_path / "whole", **options)
    folder = tmp_path / "resumed"
    run_until(1, label_bank, LABELS, folder, **options)
    assert [path.name for path in folder.iterdir()] == [JOURNAL]
    run_until(2, label_bank, LABELS, folder, **options)
    runs = patch_call(monkeypatch, Model, "run", lambda original, *a, **k: original(*a, **k))
    steps: list[tuple[int, int]] = []
    found = evaluate(
        label_bank, LABELS, folder, **options, progress=lambda *step: steps.append(step)
    )
    assert len(runs) == 1
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert numbers(found) == numbers(whole)
    for name in ("images.csv", "attributes.csv"):
        path = Path("usage", "decoder_2-all", name)
        assert (folder / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()
    again = evaluate(label_bank, LABELS, folder, **options, num_threads=1)
    assert len(runs) == 1
    assert again.to_json() == found.to_json()


@pytest.fixture(scope="module")
def finished(label_bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("finished")
    found = evaluate(label_bank, LABELS, folder, layers=["encoder_1"], top_k=[1], iterations=2)
    return folder, numbers(found)


@pytest.mark.parametrize("kept", [0, 0.001, 0.01, 0.3, 0.5, 0.9, 0.9999])
def test_a_journal_that_was_cut_short(
    label_bank: Bank, tmp_path: Path, finished: tuple[Path, Any], kept: float
) -> None:
    data = (finished[0] / JOURNAL).read_bytes()
    cut = data[: int(kept * len(data))]
    (tmp_path / JOURNAL).write_bytes(cut)
    found = evaluate(label_bank, LABELS, tmp_path, layers=["encoder_1"], top_k=[1], iterations=2)
    assert numbers(found) == finished[1]
    whole_lines = cut[: cut.rfind(b"\n") + 1]
    written = (tmp_path / JOURNAL).read_bytes()
    assert written.startswith(whole_lines)
    assert len(written.splitlines()) == 1 + len(LABELS)


def test_a_damaged_line_is_measured_again(
    label_bank: Bank, tmp_path: Path, finished: tuple[Path, Any]
) -> None:
    lines = (finished[0] / JOURNAL).read_bytes().splitlines(keepends=True)
    lines[2] = b'{"image": "img_1", "rows": {"network": 3}}\n'
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))
    found = evaluate(label_bank, LABELS, tmp_path, layers=["encoder_1"], top_k=[1], iterations=2)
    assert numbers(found) == finished[1]


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("layers", {"layers": ["decoder_2"]}),
        ("top_k", {"top_k": [2]}),
        ("seed", {"seed": 5}),
        ("iterations", {"iterations": 3}),
        ("method", {"method": "exhaustive"}),
        ("composition", {"composition": "overlap"}),
        ("validation pairs", {"limit": 2}),
        ("training images that may be used", {"selection": Selection(exclude=("img_0",))}),
    ],
)
def test_other_options_are_refused(
    label_bank: Bank, tmp_path: Path, finished: tuple[Path, Any], part: str, change: dict[str, Any]
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "out"))
    before = contents(folder)
    options = {"layers": ["encoder_1"], "top_k": [1], "iterations": 2, **change}
    with pytest.raises(EvaluationError, match=f"differs in: {part}; use another folder"):
        evaluate(label_bank, LABELS, folder, **options)
    assert contents(folder) == before
    if part == "layers":
        evaluate(label_bank, LABELS, folder, **options, restart=True)
        # Nothing of the other evaluation is left over.
        assert not (folder / "usage" / "encoder_1-top1" / "images.csv").exists()
        assert "encoder_1" not in (folder / "results.csv").read_text()


def test_other_images_of_the_same_names_are_refused(
    label_bank: Bank, tmp_path: Path, finished: tuple[Path, Any]
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "out"))
    others = MemoryDataset(3, SIZE, classes=CLASSES, seed=2)
    with pytest.raises(EvaluationError, match="differs in: validation pairs"):
        evaluate(label_bank, others, folder, layers=["encoder_1"], top_k=[1], iterations=2)


def test_another_bank_is_refused(
    label_bank: Bank, tmp_path: Path, finished: tuple[Path, Any]
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "out"))
    other = MemoryDataset(COUNT, SIZE, classes=CLASSES, seed=4, attributes=ATTRIBUTES)
    bank = Bank.build(tmp_path / "bank", label_bank.model, other)
    with pytest.raises(EvaluationError, match="differs in: bank"):
        evaluate(bank, LABELS, folder, layers=["encoder_1"], top_k=[1], iterations=2)
    moved = Bank(shutil.copytree(label_bank.path, tmp_path / "moved"), label_bank.model)
    found = evaluate(moved, LABELS, folder, layers=["encoder_1"], top_k=[1], iterations=2)
    assert numbers(found) == finished[1]


@pytest.mark.parametrize("text", ["notes of mine\n", '{"format": "other"}\n', "notes of mine"])
def test_a_file_that_is_no_journal_is_kept(label_bank: Bank, tmp_path: Path, text: str) -> None:
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(EvaluationError, match="is not the journal of an evaluation"):
        evaluate(label_bank, LABELS, tmp_path)
    assert (tmp_path / JOURNAL).read_text() == text


def test_two_evaluations_do_not_share_a_folder(label_bank: Bank, tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, restart=False)
    with pytest.raises(EvaluationError, match="another evaluation is writing"):
        evaluate(label_bank, LABELS, tmp_path, restart=True)
    journal.close()
    evaluate(label_bank, LABELS, tmp_path, restart=True, limit=1, top_k=[1], iterations=0)


# Bad input


class Empty(Dataset):
    def __init__(self) -> None:
        super().__init__([], target_palette=grey_palette(CLASSES))

    def _read(self, name: str) -> Pair:
        raise AssertionError


def test_bad_input_is_refused_before_anything_is_written(label_bank: Bank, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with pytest.raises(EvaluationError, match="no validation pairs"):
        evaluate(label_bank, Empty(), folder)
    with pytest.raises(DatasetError, match=r"targets are label maps .*labels 0\.\.4.* photos"):
        evaluate(label_bank, MemoryDataset(1, SIZE), folder)
    with pytest.raises(DatasetError, match=r"0\.\.4.*0\.\.3.*must be the same"):
        evaluate(label_bank, MemoryDataset(1, SIZE, classes=4), folder)
    with pytest.raises(ImageError, match="img_0 is 32x32"):
        evaluate(label_bank, MemoryDataset(1, classes=CLASSES), folder)
    with pytest.raises(EvaluationError, match="limit must be at least 1"):
        evaluate(label_bank, LABELS, folder, limit=0)
    with pytest.raises(EvaluationError, match="top_k must be at least 1"):
        evaluate(label_bank, LABELS, folder, top_k=[0])
    with pytest.raises(EvaluationError, match="top_k is empty"):
        evaluate(label_bank, LABELS, folder, top_k=[])
    with pytest.raises(LayerError, match="no layer 'decoder_9'"):
        evaluate(label_bank, LABELS, folder, layers=["decoder_9"])
    with pytest.raises(SearchError, match="no composition"):
        evaluate(label_bank, LABELS, folder, composition="paste")  # type: ignore[arg-type]
    assert not folder.exists()


def test_an_unreadable_image_keeps_what_was_measured(label_bank: Bank, tmp_path: Path) -> None:
    broken = MemoryDataset(3, SIZE, classes=CLASSES, seed=1, bad=[2])
    options: dict[str, Any] = {"layers": ["encoder_1"], "top_k": [1], "iterations": 2}
    with pytest.raises(ImageError, match=r"img_2\.png is cut short"):
        evaluate(label_bank, broken, tmp_path, **options)
    assert len((tmp_path / JOURNAL).read_bytes().splitlines()) == 1 + 2
    evaluate(label_bank, LABELS, tmp_path, **options)
    assert len((tmp_path / JOURNAL).read_bytes().splitlines()) == 1 + 3


def test_images_of_another_size_are_resized_when_asked(label_bank: Bank, tmp_path: Path) -> None:
    model = Model(
        label_bank.model.path,
        list(label_bank.layers),
        label_bank.descriptor,
        preprocessing=Preprocessing(resize=True),
    )
    large = MemoryDataset(1, (48, 64), classes=CLASSES, seed=1)
    found = evaluate(
        Bank(label_bank.path, model), large, tmp_path, layers=["encoder_1"], top_k=[1], iterations=0
    )
    target = compnn.Preprocessing(size=SIZE, resize=True).fit(large[0].target)
    truths = sum(found.records[0].rows["network"].observations["target"])
    assert truths == target.size
