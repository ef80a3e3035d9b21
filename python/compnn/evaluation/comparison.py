"""Comparing pictures image by image, and summing the comparisons up over a set of images."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from compnn.metrics import accuracies, confusion_with_void, psnr, ssim
from compnn.palette import Palette

Observation = list[float]
"""What is kept of the comparison of two pictures: numbers that JSON holds exactly."""


class Comparison(ABC):
    """How pictures of one kind are compared.

    Attributes
    ----------
    measures
        Names of the measures, the first being the main one; larger is nearer.
    """

    measures: tuple[str, ...]

    @abstractmethod
    def observe(self, truth: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> Observation:
        """Compare two pictures."""

    @abstractmethod
    def summarise(self, observations: Sequence[Observation]) -> dict[str, float]:
        """The measures over a set of images; nan where nothing counts."""

    @staticmethod
    def of(palette: Palette | None) -> Comparison:
        """The comparison of label maps of a palette, or of photos (None)."""
        return PhotoComparison() if palette is None else LabelComparison(palette)


class LabelComparison(Comparison):
    """Compares label maps, (H, W) or painted (H, W, 3).

    Pixel accuracy is the mean over images (the paper's MPA); the other measures are taken of the
    counts of all images together, in which no class hangs on a single image.
    """

    measures = ("pixel_accuracy", "class_accuracy", "mean_iou", "frequency_weighted_iou")

    def __init__(self, palette: Palette) -> None:
        self._palette = palette

    def observe(self, truth: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> Observation:
        """Count the pixels of each pair of classes: C x (C + 1) numbers, the last column void."""
        palette = self._palette
        counts = confusion_with_void(
            self._labels(truth), self._labels(other), len(palette), palette.void
        )
        observation: Observation = counts.ravel().tolist()
        return observation

    def summarise(self, observations: Sequence[Observation]) -> dict[str, float]:
        """As `Comparison.summarise`."""
        classes = len(self._palette)
        counts = np.array(observations, np.int64).reshape(-1, classes, classes + 1)
        values = asdict(accuracies(counts.sum(axis=0)))
        values["pixel_accuracy"] = _mean([accuracies(each).pixel_accuracy for each in counts])
        return values

    def _labels(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return self._palette.quantise(picture) if picture.ndim == 3 else picture


class PhotoComparison(Comparison):
    """Compares photos; both measures are means over images."""

    measures = ("psnr", "ssim")

    def observe(self, truth: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> Observation:
        """PSNR in dB and SSIM of two photos (H, W, 3)."""
        return [psnr(truth, other), ssim(truth, other)]

    def summarise(self, observations: Sequence[Observation]) -> dict[str, float]:
        """As `Comparison.summarise`."""
        columns = zip(*observations, strict=True)
        return {name: _mean(column) for name, column in zip(self.measures, columns, strict=True)}


def _mean(values: Sequence[float]) -> float:
    counted = [value for value in values if not math.isnan(value)]
    return math.fsum(counted) / len(counted) if counted else math.nan
