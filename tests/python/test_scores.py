"""Scores of explanations against their definitions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from compnn.bank.bank import Bank
from compnn.errors import ImageError
from compnn.explanation.explanation import Explanation
from compnn.network.onnx import Model
from compnn.images.palette import Palette
from compnn.explanation.scores import Score, Scores, compare, score
from memory_dataset import MemoryDataset
from tiny_networks import tiny_segnet, tiny_unet

VOID = Palette("void", ("a", "b"), np.array([[0, 200, 0], [200, 0, 0]], np.uint8), void=9)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


def test_photos_are_compared_by_psnr() -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 256, (2, 8, 9, 3), np.uint8)
    found = compare(first, second, None)
    assert found.measure == "psnr"
    assert found.value == pytest.approx(psnr(first, second))
    assert str(found) == f"{found.value:.1f} dB"


def test_label_maps_are_compared_by_accuracy_without_void() -> None:
    truth = np.array([[0, 1, 9, 1]], np.uint8)
    other = np.array([[0, 0, 0, 1]], np.uint8)
    found = compare(truth, other, VOID)
    assert found == Score("accuracy", pytest.approx(2 / 3))
    assert str(found) == "66.7%"


def test_painted_label_maps_are_quantised() -> None:
    truth = np.array([[[10, 190, 0], [190, 20, 3]]], np.uint8)
    assert compare(truth, np.array([[0, 0]], np.uint8), VOID).value == 0.5
    assert compare(truth, truth, VOID).value == 1


def test_sizes_must_agree() -> None:
    with pytest.raises(ImageError, match=r"\(2, 2\).*\(2, 3\)"):
        compare(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), VOID)


def test_json_has_no_nan() -> None:
    void = np.full((2, 2), 9, np.uint8)
    empty = compare(void, void, VOID)
    assert math.isnan(empty.value)
    document = Scores(0.5, Score("psnr", 20.0), empty, None, None).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == {
        "similarity": 0.5,
        "input": {"measure": "psnr", "value": 20.0},
        "output_to_network": {"measure": "accuracy", "value": None},
        "output_to_target": None,
        "network_to_target": None,
    }


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    folder = tmp_path_factory.mktemp("photos")
    model = Model(tiny_unet(folder / "unet.onnx"), ["encoder_2"])
    bank = Bank.build(folder / "bank", model, MemoryDataset(3))
    return bank.explain(MemoryDataset(1, seed=1)[0].input, "encoder_2", method="exhaustive")


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Explanation:
    folder = tmp_path_factory.mktemp("labels")
    model = Model(tiny_segnet(folder / "segnet.onnx"), ["encoder_2"])
    bank = Bank.build(folder / "bank", model, MemoryDataset(3, (24, 32), classes=5))
    image = MemoryDataset(1, (24, 32), seed=1)[0].input
    return bank.explain(image, "encoder_2", method="exhaustive")


def test_scores_of_photos(photos: Explanation) -> None:
    target = np.random.default_rng(2).integers(0, 256, photos.output.shape, np.uint8)
    found = score(photos, target)
    assert found.similarity == pytest.approx(photos.field.similarity.mean(), abs=1e-6)
    pairs = {
        "input": (photos.query, photos.input),
        "output_to_network": (photos.network_output, photos.output),
        "output_to_target": (target, photos.output),
        "network_to_target": (target, photos.network_output),
    }
    for field, (truth, other) in pairs.items():
        assert getattr(found, field) == Score("psnr", pytest.approx(psnr(truth, other)))


def test_scores_of_label_maps(labels: Explanation) -> None:
    target = np.random.default_rng(2).integers(0, 5, labels.output.shape, np.uint8)
    found = score(labels, target)
    assert found.input == Score("psnr", pytest.approx(psnr(labels.query, labels.input)))
    pairs = {
        "output_to_network": (labels.network_output, labels.output),
        "output_to_target": (target, labels.output),
        "network_to_target": (target, labels.network_output),
    }
    for field, (truth, other) in pairs.items():
        assert getattr(found, field) == Score("accuracy", pytest.approx((truth == other).mean()))


def test_without_target(photos: Explanation) -> None:
    found = score(photos)
    assert found.output_to_target is None
    assert found.network_to_target is None


def test_target_of_another_size(photos: Explanation) -> None:
    with pytest.raises(ImageError, match=r"target is \(16, 16, 3\).*\(32, 32, 3\)"):
        score(photos, np.zeros((16, 16, 3), np.uint8))
