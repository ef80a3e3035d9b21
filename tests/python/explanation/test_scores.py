"""Scores of explanations against their definitions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from compnn.errors import ImageError
from compnn.explanation.explanation import Explanation
from compnn.explanation.scores import Scores, score
from compnn.images.kinds import Labels, Values
from compnn.images.measures import Score
from compnn.images.palette import Palette
from explanations import explanation_of, grey_labels, photos, values

VOID = Palette("void", ("a", "b"), np.array([[0, 200, 0], [200, 0, 0]], np.uint8), void=9)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


def test_json_has_no_nan() -> None:
    void = np.full((2, 2), 9, np.uint8)
    empty = Labels(VOID).compare(void, void)
    assert math.isnan(empty.value)
    document = Scores(0.5, 0.0, 0.0, Score("psnr", 20.0), empty, None, None).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == {
        "similarity": 0.5,
        "input_no_evidence": 0.0,
        "output_no_evidence": 0.0,
        "input": {"measure": "psnr", "value": 20.0, "unit": ""},
        "output_to_network": {"measure": "accuracy", "value": None, "unit": ""},
        "output_to_target": None,
        "network_to_target": None,
    }


def check_scores(explanation: Explanation, target: np.ndarray, measure: str, of: object) -> None:
    found = score(explanation, target)
    assert found.similarity == pytest.approx(explanation.field.similarity[0].mean(), abs=1e-6)
    given = psnr(explanation.query, explanation.input)
    assert found.input == Score("psnr", pytest.approx(given))
    pairs = {
        "output_to_network": (explanation.network_output, explanation.output),
        "output_to_target": (target, explanation.output),
        "network_to_target": (target, explanation.network_output),
    }
    for field, (truth, other) in pairs.items():
        assert getattr(found, field).measure == measure
        assert getattr(found, field).value == pytest.approx(of(truth, other))  # type: ignore[operator]


def test_scores_of_photos() -> None:
    found = explanation_of(photos())
    target = np.random.default_rng(2).integers(0, 256, found.output.shape, np.uint8)
    check_scores(found, target, "psnr", psnr)


def test_scores_of_label_maps() -> None:
    found = explanation_of(grey_labels())
    target = np.random.default_rng(2).integers(0, 5, found.output.shape, np.uint8)
    check_scores(found, target, "accuracy", lambda truth, other: (truth == other).mean())


def test_void_pixels_are_not_counted() -> None:
    found = explanation_of(grey_labels(void=9))
    target = np.random.default_rng(2).choice(np.array([0, 1, 9], np.uint8), found.output.shape)
    assert (target == 9).any()

    def accuracy(truth: np.ndarray, other: np.ndarray) -> float:
        return float((truth == other)[truth != 9].mean())

    check_scores(found, target, "accuracy", accuracy)


def test_scores_of_values() -> None:
    found = explanation_of(values())
    assert found.target_kind == Values("m")
    target = np.random.default_rng(2).uniform(0, 9, found.output.shape).astype(np.float32)

    def rmse(truth: np.ndarray, other: np.ndarray) -> float:
        return float(np.sqrt(np.mean((truth.astype(np.float64) - other) ** 2)))

    check_scores(found, target, "rmse", rmse)
    assert score(found, target).output_to_target == Score(
        "rmse", pytest.approx(rmse(target, found.output)), "m"
    )


def test_without_target() -> None:
    found = score(explanation_of(photos()))
    assert found.output_to_target is None
    assert found.network_to_target is None


def test_target_of_another_size() -> None:
    found = explanation_of(photos())
    with pytest.raises(ImageError, match=r"target is \(16, 16, 3\).*\(32, 24, 3\)"):
        score(found, np.zeros((16, 16, 3), np.uint8))
