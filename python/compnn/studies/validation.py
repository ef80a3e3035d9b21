"""Whether validation pairs can be compared with what a bank reconstructs, and are others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from compnn.bank.bank import Bank
from compnn.data.dataset import Dataset
from compnn.errors import DatasetError
from compnn.images.kinds import Photo
from compnn.images.resize import resized

_SIDE = 8
# Grey levels: what compression and resizing change in a cell of a thumbnail, and in a pixel.
_NEAR, _NEAR_PIXEL = 2.0, 4.0
_MOST_PAIRS = 500


def check_kinds(bank: Bank, dataset: Dataset) -> None:
    """Refuse validation pairs whose pictures are of another kind than the bank's.

    Raises
    ------
    DatasetError
        If the inputs or the targets are of another kind, or the classes or colours of their label
        maps differ; names of palettes may.
    """
    for what, ours, theirs in (
        ("inputs", bank.input_kind, dataset.input_kind),
        ("targets", bank.target_kind, dataset.target_kind),
    ):
        if not ours.is_like(theirs):
            raise DatasetError(
                f"the bank's {what} are {ours.describe()}, the validation {what} "
                f"{theirs.describe()}: kind, classes and colours must be the same. Give the "
                f"validation pairs the bank's kinds of pictures (palettes)."
            )


def images_of_both(
    bank: Bank, dataset: Dataset, allowed: Sequence[int]
) -> tuple[list[tuple[str, str]], int]:
    """Return the validation images that are training images, too, and how many were looked at.

    Inputs are compared, by thumbnails of 8x8 grey means, and where these are alike by their pixels.
    Of more than 500 pairs so many are looked at, evenly spread.

    Parameters
    ----------
    bank, dataset
        The training images and the validation pairs.
    allowed
        Indices of the training images that are searched.

    Returns
    -------
    Pairs (validation image, training image) of names, and a number of validation pairs.

    Raises
    ------
    ImageError
        If a validation pair cannot be read.
    BankError
        If a training image is damaged.
    """
    step = -(-len(dataset) // _MOST_PAIRS)
    names = dataset.names[::step]
    kind = bank.input_kind
    known = np.array([_thumbnail(kind.paint(bank.inputs.picture(image))) for image in allowed])
    found = []
    for name in names:
        picture = kind.paint(dataset.read(name).input)
        distances = abs(known - _thumbnail(picture)).max(axis=(1, 2))
        for place in np.flatnonzero(distances <= _NEAR).tolist():
            image = allowed[place]
            other = kind.paint(bank.inputs.picture(image))
            fitted = Photo().fit(picture, (other.shape[0], other.shape[1]))
            if abs(fitted.astype(np.int16) - other).mean() <= _NEAR_PIXEL:
                found.append((name, bank.names[image]))
                break
    return found, len(names)


def _thumbnail(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Grey means (8, 8) of an input as it is shown, (H, W, 3)."""
    grey = picture.mean(axis=2, dtype=np.float32)
    return resized(grey, (_SIDE, _SIDE))
