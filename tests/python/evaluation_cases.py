"""What the tests of the evaluation share: pairs, numbers by other means, networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from onnx import helper, numpy_helper
from sklearn.metrics import (
    accuracy_score,
    jaccard_score,
    mean_absolute_error,
    mean_squared_error,
    recall_score,
)

from compnn.studies.evaluation import Evaluation, Line, Row
from memory_dataset import MemoryDataset
from tiny_networks import save_network

COUNT, CLASSES, SIZE = 6, 5, (24, 32)
ATTRIBUTES = {f"img_{index}": {"wall": "red" if index % 2 else "blue"} for index in range(COUNT)}
TRAIN_LABELS = MemoryDataset(COUNT, SIZE, classes=CLASSES, attributes=ATTRIBUTES)
LABELS = MemoryDataset(3, SIZE, classes=CLASSES, seed=1)
PHOTOS = MemoryDataset(3, seed=1)
LABEL_MEASURES = ("pixel_accuracy", "class_accuracy", "mean_iou", "frequency_weighted_iou")

Image = npt.NDArray[np.uint8]
Depth = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


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
    """By the definitions of PSNR and SSIM."""
    pairs = [(a.astype(float), b.astype(float)) for a, b in zip(truths, others, strict=True)]
    psnrs = [10 * np.log10(255**2 / np.mean((a - b) ** 2)) for a, b in pairs]
    return {
        "psnr": float(np.mean(psnrs)),
        "ssim": float(np.mean([similarity_of_windows(a, b) for a, b in pairs])),
    }


def similarity_of_windows(first: Floats, second: Floats) -> float:
    """SSIM: its formula for each 7x7 window of each channel, and the mean of these."""
    x, y = (
        sliding_window_view(each, (7, 7), axis=(0, 1)).reshape(-1, 49) for each in (first, second)
    )
    mean_x, mean_y = x.mean(axis=1), y.mean(axis=1)
    covariance = ((x - mean_x[:, None]) * (y - mean_y[:, None])).sum(axis=1) / 48
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    variances = x.var(axis=1, ddof=1) + y.var(axis=1, ddof=1)
    return float((luminance * (2 * covariance + c2) / (variances + c2)).mean())


def expected_of_values(truths: list[Depth], others: list[Depth]) -> dict[str, float]:
    """By scikit-learn's errors."""
    pairs = [
        (a.ravel().astype(float), b.ravel().astype(float))
        for a, b in zip(truths, others, strict=True)
    ]
    return {
        "rmse": float(np.mean([mean_squared_error(*pair) ** 0.5 for pair in pairs])),
        "mae": float(np.mean([mean_absolute_error(*pair) for pair in pairs])),
        **_of_ratios(pairs),
    }


def _of_ratios(pairs: list[tuple[Depth, Depth]]) -> dict[str, float]:
    """Measures of depth, in plain NumPy; not of values that are not above 0."""
    relative, near = [], []
    for truth, other in pairs:
        usable = min(truth.min(), other.min()) > 0
        relative.append(np.mean(np.abs(other - truth) / truth) if usable else np.nan)
        ratio = np.maximum(other / truth, truth / other) if usable else np.array([np.nan])
        near.append(np.mean(ratio < 1.25) if usable else np.nan)
    known = [each for each in relative if not np.isnan(each)]
    if not known:
        return {"abs_rel": float("nan"), "delta": float("nan")}
    return {"abs_rel": float(np.nanmean(relative)), "delta": float(np.nanmean(near))}


def pooling_network(path: Path, *, size: tuple[int | str, int | str], channels: int = 1) -> Path:
    """A network with the layer `cells` (half the image's size, 3 channels) and the tap `pooled`.

    `pooled` is the mean over the whole image, 1x1x3, of any size. `output` has the size of the
    image, and 1 or 3 channels in [-1, 1].
    """
    random = np.random.default_rng(3)
    weights = [
        numpy_helper.from_array(random.normal(size=(3, 3, 1, 1)).astype(np.float32), "mix"),
        numpy_helper.from_array(
            random.normal(size=(channels, 3, 1, 1)).astype(np.float32), "paint"
        ),
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
    ]
    nodes = [
        helper.make_node("Conv", ["input", "mix"], ["mixed"]),
        helper.make_node("AveragePool", ["mixed"], ["cells"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["cells"], ["pooled"]),
        helper.make_node(
            "Resize",
            ["cells", "", "scales"],
            ["large"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        helper.make_node("Conv", ["large", "paint"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["output"]),
    ]
    metadata = {"input_range": "[-1, 1]", "layers": "cells"}
    shapes = ("batch", 3, *size), ("batch", channels, *size)
    return save_network(path, nodes, *shapes, weights, metadata)
