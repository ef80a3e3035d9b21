"""The numbers of an evaluation against scikit-learn and NumPy."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from compnn.bank.bank import build
from compnn.bank.selection import Selection
from compnn.data.dataset import Dataset, Pair
from compnn.explanation.composition import Composition
from compnn.explanation.explainer import Explainer
from compnn.images.kinds import Labels
from compnn.images.palette import Palette
from compnn.network.onnx import OnnxNetwork
from compnn.search.search import Exhaustive, HyperPatchMatch
from compnn.studies.evaluation import Row, evaluate
from compnn.studies.evaluation.tables import output_table
from evaluation_cases import (
    CLASSES,
    LABEL_MEASURES,
    LABELS,
    PHOTOS,
    TRAIN_LABELS,
    Image,
    expected_of_labels,
    expected_of_photos,
    expected_of_values,
    line_of,
    pooling_network,
)
from memory_dataset import MemoryDataset
from tiny_networks import tiny_unet


@pytest.mark.parametrize("composition", ["copy", "overlap"])
def test_label_maps_are_measured_as_by_scikit_learn(
    label_explainer: Explainer, tmp_path: Path, composition: Composition
) -> None:
    found = evaluate(
        label_explainer,
        LABELS,
        tmp_path,
        Exhaustive(),
        layers=["encoder_1"],
        top_k=[2, None],
        composition=composition,
    )
    targets = [pair.target for pair in LABELS]
    queries = [pair.input for pair in LABELS]
    raw = [label_explainer.network.read(query, [], output=True).output for query in queries]
    network = [np.argmax(one, axis=0).astype(np.uint8) for one in raw]
    baseline = expected_of_labels(targets, network)
    first = found.lines[0]
    assert (first.row, first.against, first.changes) == (Row("network"), "target", {})
    assert first.values == pytest.approx(baseline)
    assert math.isnan(first.similarity)
    for top_k in (2, None):
        explained = [
            label_explainer.explain(
                query, "encoder_1", Exhaustive(), top_k=top_k, composition=composition
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


def test_photos_are_measured_by_definition(photo_explainer: Explainer, tmp_path: Path) -> None:
    found = evaluate(photo_explainer, PHOTOS, tmp_path, Exhaustive(), layers=["encoder_2"])
    explained = [photo_explainer.explain(p.input, "encoder_2", Exhaustive()) for p in PHOTOS]
    targets = [pair.target for pair in PHOTOS]
    baseline = expected_of_photos(targets, [each.network_output for each in explained])
    assert found.lines[0].values == pytest.approx(baseline)
    line = line_of(found, Row("OR", "encoder_2"), "target")
    expected = expected_of_photos(targets, [each.output for each in explained])
    assert line.values == pytest.approx(expected)
    assert line.changes["psnr"] == pytest.approx(expected["psnr"] - baseline["psnr"])


def test_values_are_measured_as_by_scikit_learn(tmp_path: Path) -> None:
    network = OnnxNetwork(pooling_network(tmp_path / "depth.onnx", size=(32, 32)), None, "pooled")
    explainer = Explainer(build(tmp_path / "bank", network, MemoryDataset(5, unit="m")), network)
    pairs = MemoryDataset(3, unit="m", seed=1)
    found = evaluate(explainer, pairs, tmp_path / "out", Exhaustive(), top_k=[2, None])
    targets = [pair.target for pair in pairs]
    explained = [explainer.explain(pair.input, "cells", Exhaustive(), top_k=2) for pair in pairs]
    network_outputs = [each.network_output for each in explained]
    baseline = expected_of_values(targets, network_outputs)
    assert found.lines[0].values == pytest.approx(baseline, nan_ok=True)
    line = line_of(found, Row("OR", "cells", 2), "target")
    expected = expected_of_values(targets, [each.output for each in explained])
    assert line.values == pytest.approx(expected, nan_ok=True)
    assert line.changes == pytest.approx(
        {name: expected[name] - baseline[name] for name in expected}, abs=1e-12, nan_ok=True
    )
    line = line_of(found, Row("IR", "cells", 2), "input")
    queries = [pair.input for pair in pairs]
    assert line.values == pytest.approx(
        expected_of_photos(queries, [each.input for each in explained])
    )

    table = output_table(found)
    assert table.columns[:3] == ("output", "RMSE, m", "MAE, m")
    row = next(row for row in table.rows if row[0] == "OR cells top 2")
    assert row[1] == f"{expected['rmse']:.4g} ({expected['rmse'] - baseline['rmse']:+.3g})"
    assert output_table(found, brief=True).columns[:3] == table.columns[:3]
    assert "| RMSE, m | MAE, m |" in (tmp_path / "out" / "results.md").read_text()


def test_global_reconstructions_are_the_nearest_targets(
    label_explainer: Explainer, tmp_path: Path
) -> None:
    """By the descriptor, and by the whole activation of the last layer; cosines by NumPy."""
    allowed = [0, 2, 3, 5]
    found = evaluate(
        label_explainer,
        LABELS,
        tmp_path,
        HyperPatchMatch(iterations=2),
        layers=["encoder_1"],
        top_k=[None],
        among=Selection(exclude=("img_1", "img_4")),
    )
    assert [line.row.layer for line in found.lines if line.row.kind == "GR"] == [
        *["encoder_2"] * 2,
        *["decoder_2"] * 2,
    ]
    for tap in ("encoder_2", "decoder_2"):
        outputs, similarities = [], []

        def flat(image: Image, tap: str = tap) -> npt.NDArray[np.float64]:
            values = label_explainer.network.read(image, [tap]).tap(tap)
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


class PaintedInputs(Dataset):
    """Label maps to photos, the maps painted with colours that are a little off."""

    def __init__(self, count: int, palette: Palette, seed: int) -> None:
        names = [f"img_{index}" for index in range(count)]
        super().__init__(names, input_kind=Labels(palette))
        self._palette = palette
        self._seed = seed

    def read(self, name: str) -> Pair:
        random = np.random.default_rng((self._seed, int(name[4:])))
        labels = np.kron(random.integers(0, CLASSES, (8, 8)), np.ones((4, 4))).astype(np.uint8)
        noise = random.integers(0, 9, (32, 32, 3), np.uint8)
        painted = self._palette.colourise(labels) + noise
        return Pair(name, painted, random.integers(0, 256, (32, 32, 3), np.uint8))


def test_inputs_that_are_label_maps_are_measured_as_such(tmp_path: Path) -> None:
    colours = np.arange(3 * CLASSES, dtype=np.uint8).reshape(CLASSES, 3) * 16
    palette = Palette("soft", tuple("abcde"), colours)
    network = OnnxNetwork(tiny_unet(tmp_path / "unet.onnx"), ["encoder_1"])
    bank = build(tmp_path / "bank", network, PaintedInputs(4, palette, 0))
    explainer = Explainer(bank, network)
    queries = PaintedInputs(2, replace(palette, name="another name"), 1)
    found = evaluate(explainer, queries, tmp_path / "out", Exhaustive(), top_k=[None])
    maps = [palette.quantise(pair.input) for pair in queries]
    explained = [explainer.explain(p.input, "encoder_1", Exhaustive()).input for p in queries]
    line = line_of(found, Row("IR", "encoder_1"), "input")
    expected = expected_of_labels(maps, [palette.quantise(each) for each in explained])
    assert line.values == pytest.approx(expected, nan_ok=True)


def test_images_of_many_sizes(tmp_path: Path) -> None:
    """Of a network that takes any: each picture is compared at the size of its query."""
    path = pooling_network(tmp_path / "any.onnx", size=("height", "width"), channels=3)
    network = OnnxNetwork(path, ["cells"], "pooled")
    sizes = [(16, 24), (30, 20), (24, 24)]
    train = MemoryDataset(5, sizes=sizes)
    explainer = Explainer(build(tmp_path / "bank", network, train), network)
    pairs = MemoryDataset(2, sizes=sizes[:2], seed=1)
    found = evaluate(explainer, pairs, tmp_path / "out", Exhaustive(), top_k=[1, None])
    assert [str(row) for row in dict.fromkeys(line.row for line in found.lines)] == [
        "network",
        "GR pooled",
        *("OR cells top 1", "OR cells all"),
        *("IR cells top 1", "IR cells all"),
    ]
    assert any("by cells is left out" in note for note in found.plan.notes)
    targets = [pair.target for pair in pairs]
    for top_k in (1, None):
        explained = [explainer.explain(p.input, "cells", Exhaustive(), top_k=top_k) for p in pairs]
        outputs = [each.output for each in explained]
        line = line_of(found, Row("OR", "cells", top_k), "target")
        assert line.values == pytest.approx(expected_of_photos(targets, outputs))
    nearest = [explainer.nearest(pair.input)[0].index for pair in pairs]
    fitted = [
        explainer.bank.target_kind.fit(train[index].target, target.shape[:2])
        for index, target in zip(nearest, targets, strict=True)
    ]
    line = line_of(found, Row("GR", "pooled"), "target")
    assert line.values == pytest.approx(expected_of_photos(targets, fitted))
