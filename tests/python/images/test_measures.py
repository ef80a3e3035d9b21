"""Metrics, against scikit-learn and the definitions of PSNR and SSIM."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from compnn.errors import ImageError
from compnn.images.measures import (
    IDENTICAL,
    SSIM_WINDOW,
    Comparison,
    LabelComparison,
    LabelMeasures,
    PhotoComparison,
    Score,
    ValueComparison,
    absolute_relative,
    accuracies,
    class_accuracy,
    confusion_matrix,
    confusion_with_void,
    frequency_weighted_iou,
    mae,
    mean_iou,
    pixel_accuracy,
    psnr,
    rmse,
    ssim,
    within_ratio,
)
from memory_dataset import grey_palette

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
        for measure in (mean_iou, class_accuracy, frequency_weighted_iou):
            assert math.isnan(measure(truth, predicted, CLASSES, VOID))
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
    assert class_accuracy(truth, predicted, CLASSES, VOID) == pytest.approx(
        sklearn.metrics.recall_score(true, guess, labels=np.unique(true), average="macro")
    )
    assert frequency_weighted_iou(truth, predicted, CLASSES, VOID) == pytest.approx(
        sklearn.metrics.jaccard_score(true, guess, average="weighted")
    )


@given(st.lists(label_maps(), min_size=1, max_size=4))
def test_counts_of_several_images_add_up(pairs: list[tuple[Labels, Labels]]) -> None:
    """What is measured of the sum of counts is what is measured of all pixels as one image."""
    counts = sum(confusion_with_void(*maps, CLASSES, VOID) for maps in pairs)
    assert isinstance(counts, np.ndarray)
    assert counts.shape == (CLASSES, CLASSES + 1)
    truth, predicted = (np.concatenate([np.ravel(maps[i]) for maps in pairs])[None] for i in (0, 1))
    alone = LabelMeasures(
        pixel_accuracy(truth, predicted, VOID),
        class_accuracy(truth, predicted, CLASSES, VOID),
        mean_iou(truth, predicted, CLASSES, VOID),
        frequency_weighted_iou(truth, predicted, CLASSES, VOID),
    )
    for field, value in vars(accuracies(counts)).items():
        assert value == pytest.approx(getattr(alone, field), nan_ok=True)


def test_a_predicted_void_is_wrong_where_the_truth_is_a_class() -> None:
    truth = np.array([[0, 0, 1, VOID]], np.uint8)
    predicted = np.array([[0, VOID, 1, 1]], np.uint8)
    assert pixel_accuracy(truth, predicted, VOID) == pytest.approx(2 / 3)
    assert mean_iou(truth, predicted, 2, VOID) == pytest.approx((1 / 2 + 1) / 2)
    assert confusion_matrix(truth, predicted, 2, VOID).tolist() == [[1, 0], [0, 1]]
    assert confusion_with_void(truth, predicted, 2, VOID).tolist() == [[1, 0, 1], [0, 1, 0]]
    assert class_accuracy(truth, predicted, 2, VOID) == pytest.approx((1 / 2 + 1) / 2)
    assert frequency_weighted_iou(truth, predicted, 2, VOID) == pytest.approx(2 / 3)


def test_classes_that_are_absent_do_not_count() -> None:
    """Class 1 is only predicted: it lowers the IoU, and is no class of the truth. 2 is nowhere."""
    counts = np.array([[6, 2, 0], [0, 0, 0], [0, 0, 0]])
    found = accuracies(counts)
    assert found.class_accuracy == 6 / 8
    assert found.mean_iou == pytest.approx((6 / 8 + 0) / 2)
    assert found.frequency_weighted_iou == 6 / 8


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


def test_ssim_follows_its_definition() -> None:
    """Of one window it is the formula of Wang et al. with sample (co)variances, over channels."""
    rng = np.random.default_rng(1)
    first = rng.integers(0, 256, (SSIM_WINDOW, SSIM_WINDOW, 3), dtype=np.uint8)
    second = np.clip(first + rng.normal(0, 30, first.shape), 0, 255).astype(np.uint8)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    channels = []
    for channel in range(3):
        x, y = (image[..., channel].ravel().astype(np.float64) for image in (first, second))
        (xx, xy), (_, yy) = np.cov(x, y)
        channels.append(
            (2 * x.mean() * y.mean() + c1)
            * (2 * xy + c2)
            / ((x.mean() ** 2 + y.mean() ** 2 + c1) * (xx + yy + c2))
        )
    assert ssim(first, second) == pytest.approx(np.mean(channels))
    assert ssim(first, first) == pytest.approx(1)


@pytest.mark.parametrize("size", [(7, 12), (20, 7), (15, 22)])
def test_ssim_is_the_mean_over_all_windows(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    first = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    second = np.clip(first + rng.normal(0, 60, first.shape), 0, 255).astype(np.uint8)
    first[:9], second[:9] = 200, 190
    windows = [
        ssim(first[window], second[window])
        for top in range(size[0] - SSIM_WINDOW + 1)
        for left in range(size[1] - SSIM_WINDOW + 1)
        for window in [np.s_[top : top + SSIM_WINDOW, left : left + SSIM_WINDOW]]
    ]
    assert ssim(first, second) == pytest.approx(np.mean(windows), abs=1e-9)


def test_ssim_needs_a_window() -> None:
    with pytest.raises(ImageError, match=r"at least 7x7 pixels, not \(6, 9, 3\)"):
        ssim(np.zeros((6, 9, 3), np.uint8), np.zeros((6, 9, 3), np.uint8))
    with pytest.raises(ImageError, match=r"photos \(H, W, 3\).*not \(9, 9\)"):
        ssim(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8))


def test_shapes_must_agree() -> None:
    small, large = np.zeros((2, 3), np.uint8), np.zeros((2, 4), np.uint8)
    for compare in (pixel_accuracy, psnr, ssim, rmse, mae):
        with pytest.raises(ImageError, match=r"\(2, 3\) and \(2, 4\)"):
            compare(small, large)
    for compare_classes in (confusion_matrix, mean_iou, class_accuracy, frequency_weighted_iou):
        with pytest.raises(ImageError, match=r"\(2, 3\) and \(2, 4\)"):
            compare_classes(small, large, 2)


@pytest.mark.parametrize("swap", [False, True])
def test_labels_must_be_classes(swap: bool) -> None:
    maps = [np.array([[0, 1]], np.uint8), np.array([[0, 4]], np.uint8)]
    truth, predicted = reversed(maps) if swap else maps
    with pytest.raises(ImageError, match="label 4, but there are 4 classes"):
        mean_iou(truth, predicted, 4)


def test_errors_of_values_follow_their_definition() -> None:
    first, second = np.random.default_rng(0).normal(5, 2, (2, 8, 9)).astype(np.float32)
    difference = first.astype(np.float64) - second
    assert rmse(first, second) == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-12)
    assert mae(first, second) == pytest.approx(np.mean(np.abs(difference)), rel=1e-12)
    assert rmse(first, first) == mae(first, first) == 0
    large = np.full((2, 2), 3e38, np.float32)
    assert rmse(large, -large) == pytest.approx(6e38)


def test_measures_of_depth() -> None:
    """AbsRel and delta < 1.25, of pixels that are known."""
    truth = np.array([[1, 2, 4, np.nan]], np.float32)
    other = np.array([[1.2, 1.5, np.nan, 9]], np.float32)
    assert absolute_relative(truth, other) == pytest.approx((0.2 + 0.25) / 2)
    assert within_ratio(truth, other) == 0.5  # 2 / 1.5 is above 1.25
    assert math.isnan(absolute_relative(truth - 1, other))
    assert math.isnan(within_ratio(truth, other * np.nan))


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (Score("accuracy", 0.6789), "67.9%"),
        (Score("psnr", 21.456), "21.5 dB"),
        (Score("psnr", IDENTICAL), "identical"),
        (Score("rmse", 0.123456, "m"), "0.1235 m"),
        (Score("rmse", 2.0), "2"),
    ],
)
def test_scores_in_words(score: Score, text: str) -> None:
    assert str(score) == text


# Over sets of images


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


@pytest.mark.parametrize(
    ("comparison", "measures"),
    [
        (PhotoComparison(), {"psnr": psnr, "ssim": ssim}),
        (
            ValueComparison(),
            {"rmse": rmse, "mae": mae, "abs_rel": absolute_relative, "delta": within_ratio},
        ),
    ],
)
def test_measures_of_photos_and_values_are_means_over_images(
    comparison: Comparison, measures: dict[str, Callable[..., float]]
) -> None:
    rng = np.random.default_rng(0)
    if isinstance(comparison, PhotoComparison):
        pairs = list(rng.integers(0, 256, (3, 2, 9, 8, 3), np.uint8))
    else:
        pairs = list(rng.uniform(0.1, 1, (3, 2, 9, 8)).astype(np.float32))
    observations = [comparison.observe(*pair) for pair in pairs]
    assert json.loads(json.dumps(observations)) == observations
    assert comparison.measures == tuple(measures)
    assert comparison.summarise(observations) == pytest.approx(
        {name: np.mean([measure(*pair) for pair in pairs]) for name, measure in measures.items()}
    )


@pytest.mark.parametrize(
    "comparison", [PhotoComparison(), ValueComparison(), LabelComparison(grey_palette(3))]
)
def test_nothing_has_no_measures(comparison: Comparison) -> None:
    values = comparison.summarise([])
    assert tuple(values) == comparison.measures
    assert all(math.isnan(value) for value in values.values())
