"""How near a picture is to the truth: accuracies and IoU of label maps, PSNR and SSIM of photos.

Of one picture (`Score`), and summed up over a set of images (`Comparison`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError
from compnn.images.palette import Palette

SSIM_WINDOW = 7
"""Pixels of the side of the windows that SSIM compares: no image may be smaller."""

IDENTICAL = 361.0
"""PSNR that equal images are given, in dB."""

_ANY_LABEL = 256


@dataclass(frozen=True)
class LabelMeasures:
    """How near label maps are to the truth, each in [0, 1]; nan if no pixel is counted.

    Pixels that are truly void are not counted; elsewhere a predicted void is wrong.

    Attributes
    ----------
    pixel_accuracy
        Share of pixels whose label is right. Its mean over images is the paper's MPA.
    class_accuracy
        Mean, over the classes that are in the truth, of the share of the class's pixels that are
        right.
    mean_iou
        Mean, over the classes that are in either map, of intersection over union.
    frequency_weighted_iou
        Mean of intersection over union, each class weighted by its share of the truth.
    """

    pixel_accuracy: float
    class_accuracy: float
    mean_iou: float
    frequency_weighted_iou: float


def accuracies(counts: npt.NDArray[np.integer[Any]]) -> LabelMeasures:
    """Return the measures of one image, or of a set of images whose counts are added up.

    Parameters
    ----------
    counts
        (C, C + 1) from `confusion_with_void`, or (C, C) where nothing is predicted void.
    """
    classes = len(counts)
    right = counts.diagonal()
    true = counts.sum(axis=1)
    union = true + counts[:, :classes].sum(axis=0) - right
    in_truth, present = true > 0, union > 0
    if not in_truth.any():
        return LabelMeasures(math.nan, math.nan, math.nan, math.nan)
    iou = right[in_truth] / union[in_truth]
    return LabelMeasures(
        float(right.sum() / true.sum()),
        float((right[in_truth] / true[in_truth]).mean()),
        float((right[present] / union[present]).mean()),
        float((iou * true[in_truth]).sum() / true.sum()),
    )


def confusion_with_void(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    classes: int,
    void: int | None = None,
) -> npt.NDArray[np.int64]:
    """Count the pixels of each pair of true and predicted class, and of class and predicted void.

    Counts of several images may be added up, for `accuracies` of all of them.

    Parameters
    ----------
    truth, predicted
        Label maps of one shape, uint8.
    classes
        Number of classes C.
    void
        Label that is no class.

    Returns
    -------
    (C, C + 1) int64; row = true class, column = predicted class, the last one void. Pixels that
    are truly void are in no cell.

    Raises
    ------
    ImageError
        If the shapes differ, or a label is neither a class nor void.
    """
    _check_shapes(truth, predicted)
    column = np.full(256, -1, dtype=np.int64)
    column[:classes] = np.arange(classes)
    if void is not None:
        column[void] = classes
    rows, columns = column[truth.ravel()], column[predicted.ravel()]
    for labels, places in ((truth, rows), (predicted, columns)):
        if (places < 0).any():
            stray = int(labels.ravel()[places < 0].min())
            raise ImageError(
                f"a label map holds the label {stray}, but there are {classes} classes "
                f"and void is {void}; give the number of classes that its palette has"
            )
    counted = rows < classes
    cells = rows[counted] * (classes + 1) + columns[counted]
    counts = np.bincount(cells, minlength=classes * (classes + 1))
    return counts.reshape(classes, classes + 1).astype(np.int64, copy=False)


def confusion_matrix(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    classes: int,
    void: int | None = None,
) -> npt.NDArray[np.int64]:
    """Count the pixels of each pair of true and predicted class, as `confusion_with_void`.

    Returns
    -------
    (C, C) int64; row = true class, column = predicted class. Pixels that are void in either map
    are in no cell.
    """
    return confusion_with_void(truth, predicted, classes, void)[:, :classes]


def pixel_accuracy(
    truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8], void: int | None = None
) -> float:
    """Return the pixel accuracy of a label map, see `LabelMeasures`; any label may be a class.

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    return accuracies(confusion_with_void(truth, predicted, _ANY_LABEL, void)).pixel_accuracy


def class_accuracy(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    classes: int,
    void: int | None = None,
) -> float:
    """Return the class accuracy of a label map, see `LabelMeasures`.

    Parameters and errors are those of `confusion_with_void`.
    """
    return accuracies(confusion_with_void(truth, predicted, classes, void)).class_accuracy


def mean_iou(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    classes: int,
    void: int | None = None,
) -> float:
    """Return the mean IoU of a label map, see `LabelMeasures`.

    Parameters and errors are those of `confusion_with_void`.
    """
    return accuracies(confusion_with_void(truth, predicted, classes, void)).mean_iou


def frequency_weighted_iou(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    classes: int,
    void: int | None = None,
) -> float:
    """Return the frequency-weighted IoU of a label map, see `LabelMeasures`.

    Parameters and errors are those of `confusion_with_void`.
    """
    return accuracies(confusion_with_void(truth, predicted, classes, void)).frequency_weighted_iou


def psnr(first: npt.NDArray[Any], second: npt.NDArray[Any], white: int = 255) -> float:
    """Return the peak signal-to-noise ratio of two images in dB; `IDENTICAL` for equal images.

    Parameters
    ----------
    first, second
        Whole numbers, of one shape.
    white
        The largest number of a pixel.

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    _check_shapes(first, second)
    # Sums of squares of whole numbers are exact.
    difference = np.subtract(first, second, dtype=np.int64).ravel()
    squares = int(np.dot(difference, difference))
    return 10 * math.log10(white**2 * difference.size / squares) if squares else IDENTICAL


def ssim(first: npt.NDArray[Any], second: npt.NDArray[Any], white: int = 255) -> float:
    """Return the structural similarity of two photos, in [-1, 1]: the mean over their channels.

    That of Wang et al. (2004), whose windows have equal weights and sample (co)variances here; the
    mean is that over all windows that are inside of the image.

    Parameters
    ----------
    first, second
        uint8 or uint16 (H, W, C), both sides at least `SSIM_WINDOW` pixels.
    white
        The largest number of a pixel.

    Raises
    ------
    ImageError
        If the shapes differ, or the images are too small or no photos.
    """
    # Imported here: it takes longer than the rest of compnn, and few commands need it.
    from scipy.ndimage import uniform_filter

    _check_shapes(first, second)
    if first.ndim != 3 or min(first.shape[:2]) < SSIM_WINDOW:
        raise ImageError(
            f"SSIM compares photos (H, W, 3) of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, "
            f"not {first.shape}; use PSNR"
        )

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Over each window, of all channels at once."""
        edge = SSIM_WINDOW // 2
        means = uniform_filter(values, (SSIM_WINDOW, SSIM_WINDOW, 1))
        return np.asarray(means[edge:-edge, edge:-edge])

    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = mean(x), mean(y)
    sample = SSIM_WINDOW**2 / (SSIM_WINDOW**2 - 1)
    variances = sample * (mean(x * x) + mean(y * y) - mean_x**2 - mean_y**2)
    covariance = sample * (mean(x * y) - mean_x * mean_y)
    c1, c2 = (0.01 * white) ** 2, (0.03 * white) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))


def rmse(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Return the root of the mean squared difference of values, of those that both have.

    Pixels where either is NaN are left out; nan if all are.

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    _check_shapes(first, second)
    return float(np.sqrt(_mean_of_known(np.square(np.subtract(first, second, dtype=np.float64)))))


def mae(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> float:
    """Return the mean absolute difference of values, of those that both have, as `rmse`.

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    _check_shapes(first, second)
    return _mean_of_known(np.abs(np.subtract(first, second, dtype=np.float64)))


def absolute_relative(truth: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Return the mean of |other - truth| / truth (AbsRel of depth), of those that both have.

    Pixels where either is NaN are left out; nan if all are, or if a value is not above 0, so that
    ratios mean nothing.

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    ratios = _ratios(truth, other)
    return math.nan if ratios is None else _mean_of_known(np.abs(ratios - 1))


def within_ratio(
    truth: npt.NDArray[np.float32], other: npt.NDArray[np.float32], most: float = 1.25
) -> float:
    """Return the share of pixels where neither value is `most` times the other (delta < 1.25).

    Pixels and errors are those of `absolute_relative`.
    """
    ratios = _ratios(truth, other)
    if ratios is None:
        return math.nan
    known = ~np.isnan(ratios)
    return _mean_of_known(np.where(known, np.maximum(ratios, 1 / ratios) < most, math.nan))


def _ratios(
    truth: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64] | None:
    """other / truth, NaN where either is; None unless all that are known are above 0."""
    _check_shapes(truth, other)
    if any((each <= 0).any() for each in (truth, other)):
        return None
    return np.divide(other, truth, dtype=np.float64)


def _mean_of_known(values: npt.NDArray[np.float64]) -> float:
    known = ~np.isnan(values)
    if known.all():
        return float(np.mean(values))
    return float(np.mean(values[known])) if known.any() else math.nan


def _check_shapes(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    if first.shape != second.shape:
        raise ImageError(
            f"cannot compare images of shapes {first.shape} and {second.shape}; "
            f"bring both to one size"
        )


@dataclass(frozen=True)
class Score:
    """How near a picture is to another.

    Attributes
    ----------
    measure
        "accuracy" (share of equal labels, in [0, 1]; nan if all are void) of label maps, "psnr" (in
        dB) of photos, "rmse" of values.
    value
        Larger is nearer, but for rmse.
    unit
        Of rmse.
    """

    measure: str
    value: float
    unit: str = ""

    def __str__(self) -> str:
        if self.measure == "accuracy":
            return f"{self.value:.1%}"
        if self.measure == "rmse":
            return f"{self.value:.4g} {self.unit}".strip()
        return "identical" if self.value == IDENTICAL else f"{self.value:.1f} dB"


Observation = list[float]
"""What is kept of the comparison of two pictures: numbers that JSON holds exactly."""


class Comparison(ABC):
    """How pictures of one kind are compared.

    Attributes
    ----------
    measures
        Names of the measures, the first being the main one; larger is nearer but of errors.
    """

    measures: tuple[str, ...]

    @abstractmethod
    def observe(
        self,
        truth: npt.NDArray[Any],
        other: npt.NDArray[Any],
        nothing: npt.NDArray[np.bool_] | None = None,
    ) -> Observation:
        """Compare two pictures; `nothing` as in `Kind.compare`."""

    @abstractmethod
    def summarise(self, observations: Sequence[Observation]) -> dict[str, float]:
        """The measures over a set of images; nan where nothing counts."""


class LabelComparison(Comparison):
    """Compares label maps, (H, W) or painted (H, W, 3).

    Pixel accuracy is the mean over images (the paper's MPA); the other measures are taken of the
    counts of all images together, in which no class hangs on a single image.
    """

    measures = ("pixel_accuracy", "class_accuracy", "mean_iou", "frequency_weighted_iou")

    def __init__(self, palette: Palette) -> None:
        self._palette = palette

    def observe(
        self,
        truth: npt.NDArray[Any],
        other: npt.NDArray[Any],
        nothing: npt.NDArray[np.bool_] | None = None,
    ) -> Observation:
        """Count the pixels of each pair of classes: C x (C + 1) numbers, the last column void."""
        palette = self._palette
        # Where nothing is shown a palette without void has 255, see `Kind.unmatched`.
        void = 255 if palette.void is None and len(palette) < 256 else palette.void
        labels = self._labels(other)
        if nothing is not None and void is not None:
            labels = np.where(nothing, np.uint8(void), labels)
        counts = confusion_with_void(self._labels(truth), labels, len(palette), void)
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

    def __init__(self, white: int = 255) -> None:
        self._white = white

    def observe(
        self,
        truth: npt.NDArray[Any],
        other: npt.NDArray[Any],
        nothing: npt.NDArray[np.bool_] | None = None,
    ) -> Observation:
        """PSNR in dB and SSIM of two photos (H, W, C)."""
        return [psnr(truth, other, self._white), ssim(truth, other, self._white)]

    def summarise(self, observations: Sequence[Observation]) -> dict[str, float]:
        """As `Comparison.summarise`."""
        return _means(self.measures, observations)


class ValueComparison(Comparison):
    """Compares values; all measures are means over images."""

    measures = ("rmse", "mae", "abs_rel", "delta")

    def observe(
        self,
        truth: npt.NDArray[Any],
        other: npt.NDArray[Any],
        nothing: npt.NDArray[np.bool_] | None = None,
    ) -> Observation:
        """RMSE and MAE of values (H, W), in their unit; AbsRel and delta < 1.25 as depth has."""
        measures = rmse, mae, absolute_relative, within_ratio
        return [measure(truth, other) for measure in measures]

    def summarise(self, observations: Sequence[Observation]) -> dict[str, float]:
        """As `Comparison.summarise`."""
        return _means(self.measures, observations)


def _means(measures: Sequence[str], observations: Sequence[Observation]) -> dict[str, float]:
    return {
        name: _mean([observation[place] for observation in observations])
        for place, name in enumerate(measures)
    }


def _mean(values: Sequence[float]) -> float:
    counted = [value for value in values if not math.isnan(value)]
    return math.fsum(counted) / len(counted) if counted else math.nan
