"""Metrics, against scikit-learn and the definition of PSNR."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from compnn.errors import ImageError
from compnn.metrics import confusion_matrix, mean_iou, pixel_accuracy, psnr

CLASSES, VOID = 5, 9
Labels = npt.NDArray[np.uint8]


@st.composite
def label_maps(draw: st.DrawFn) -> tuple[Labels, Labels]:
    """Truth (classes and void) and prediction (classes), of one shape."""
    shape = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = rng.choice([0, 1, 3, VOID], shape).astype(np.uint8)
    predicted = rng.choice([0, 1, 2], shape).astype(np.uint8)
    return truth, np.where(rng.random(shape) < 0.4, truth % VOID, predicted).astype(np.uint8)


@given(label_maps())
def test_against_scikit_learn(maps: tuple[Labels, Labels]) -> None:
    truth, predicted = maps
    counted = truth != VOID
    if not counted.any():
        assert math.isnan(pixel_accuracy(truth, predicted, VOID))
        assert math.isnan(mean_iou(truth, predicted, CLASSES, VOID))
        assert confusion_matrix(truth, predicted, CLASSES, VOID).sum() == 0
        return
    true, guess = truth[counted], predicted[counted]
    np.testing.assert_array_equal(
        confusion_matrix(truth, predicted, CLASSES, VOID),
        sklearn.metrics.confusion_matrix(true, guess, labels=range(CLASSES)),
    )
    assert pixel_accuracy(truth, predicted, VOID) == pytest.approx(
        sklearn.metrics.accuracy_score(true, guess)
    )
    # Without `labels`, scikit-learn averages over the classes that are in either map.
    assert mean_iou(truth, predicted, CLASSES, VOID) == pytest.approx(
        sklearn.metrics.jaccard_score(true, guess, average="macro")
    )


def test_a_predicted_void_is_wrong_where_the_truth_is_a_class() -> None:
    truth = np.array([[0, 0, 1, VOID]], np.uint8)
    predicted = np.array([[0, VOID, 1, 1]], np.uint8)
    assert pixel_accuracy(truth, predicted, VOID) == pytest.approx(2 / 3)
    assert mean_iou(truth, predicted, 2, VOID) == pytest.approx((1 / 2 + 1) / 2)
    assert confusion_matrix(truth, predicted, 2, VOID).tolist() == [[1, 0], [0, 1]]


def test_without_void_every_pixel_counts() -> None:
    truth = np.array([[0, 1], [2, 2]], np.uint8)
    predicted = np.array([[0, 1], [2, 0]], np.uint8)
    assert pixel_accuracy(truth, predicted) == 0.75
    assert mean_iou(truth, predicted, 3) == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)


def test_psnr_follows_its_definition() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    error = np.mean((first.astype(float) - second) ** 2)
    assert psnr(first, second) == pytest.approx(10 * math.log10(255**2 / error))
    assert psnr(first[:, ::2], second[:, ::2]) == psnr(first[:, ::2].copy(), second[:, ::2].copy())
    assert psnr(first, first) > 300


def test_shapes_must_agree() -> None:
    small, large = np.zeros((2, 3), np.uint8), np.zeros((2, 4), np.uint8)
    for compare in (pixel_accuracy, psnr):
        with pytest.raises(ImageError, match=r"\(2, 3\) and \(2, 4\)"):
            compare(small, large)
    for compare_classes in (confusion_matrix, mean_iou):
        with pytest.raises(ImageError, match=r"\(2, 3\) and \(2, 4\)"):
            compare_classes(small, large, 2)


@pytest.mark.parametrize("swap", [False, True])
def test_labels_must_be_classes(swap: bool) -> None:
    maps = [np.array([[0, 1]], np.uint8), np.array([[0, 4]], np.uint8)]
    truth, predicted = reversed(maps) if swap else maps
    with pytest.raises(ImageError, match="label 4, but there are 4 classes"):
        mean_iou(truth, predicted, 4)
