"""How near an image is to the truth: accuracy and IoU of label maps, PSNR of photos."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError


def confusion_matrix(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    classes: int,
    void: int | None = None,
) -> npt.NDArray[np.int64]:
    """Count the pixels of each pair of true and predicted class.

    Parameters
    ----------
    truth, predicted
        Label maps of one shape, uint8.
    classes
        Number of classes C.
    void
        Label that is not counted.

    Returns
    -------
    (C, C) int64; row = true class, column = predicted class. Pixels that are void in either map
    are in no cell.

    Raises
    ------
    ImageError
        If the shapes differ, or a label is neither a class nor void.
    """
    return _confusion_with_void(truth, predicted, classes, void)[:, :classes]


def pixel_accuracy(
    truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8], void: int | None = None
) -> float:
    """Return the share, in [0, 1], of pixels whose label is right; nan if no pixel is counted.

    Pixels that are truly void are not counted; elsewhere a predicted void is wrong.

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    _check_shapes(truth, predicted)
    right = truth == predicted
    if void is not None:
        right = right[truth != void]
    return float(right.mean()) if right.size else math.nan


def mean_iou(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    classes: int,
    void: int | None = None,
) -> float:
    """Return the mean over classes of intersection over union, in [0, 1].

    Pixels that are truly void are not counted; elsewhere a predicted void is wrong. A class that
    is in neither map does not count; without any pixel that counts the mean is nan.

    Raises
    ------
    ImageError
        As `confusion_matrix`.
    """
    counts = _confusion_with_void(truth, predicted, classes, void)
    shared = counts.diagonal()
    union = counts.sum(axis=1) + counts[:, :classes].sum(axis=0) - shared
    present = union > 0
    return float((shared[present] / union[present]).mean()) if present.any() else math.nan


def psnr(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio of two uint8 images in dB; equal images give about 361.

    Raises
    ------
    ImageError
        If the shapes differ.
    """
    _check_shapes(first, second)
    return float(cv2.PSNR(np.ascontiguousarray(first), np.ascontiguousarray(second)))


def _confusion_with_void(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    classes: int,
    void: int | None,
) -> npt.NDArray[np.int64]:
    """Return (C, C + 1) counts; the last column has the pixels of a class predicted void."""
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


def _check_shapes(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> None:
    if first.shape != second.shape:
        raise ImageError(
            f"cannot compare images of shapes {first.shape} and {second.shape}; "
            f"bring both to one size"
        )
