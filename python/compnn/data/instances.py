"""Files that hold class and instance of each pixel in one number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError
from compnn.images.files import StoredImage
from compnn.images.palette import Palette


def labels_of_instances(
    values: npt.NDArray[np.int64], factor: int, *, plain: bool = False
) -> npt.NDArray[np.int64]:
    """Return the class of each pixel, (H, W), of numbers that tell instances apart, too.

    Parameters
    ----------
    values
        (H, W): class * factor + instance.
    factor
        More than the instances of a class in an image: 256 as KITTI has it, 1000 as Cityscapes.
    plain
        Whether numbers below the factor are classes without instances, as in Cityscapes.
    """
    classes = values // factor
    return np.where(values < factor, values, classes) if plain else classes


def read_instances(
    path: Path,
    palette: Palette,
    factor: int,
    ids: Mapping[int, int] | None = None,
    *,
    plain: bool = False,
) -> npt.NDArray[np.uint8]:
    """Read a file of instances as a label map (H, W) uint8; see `labels_of_instances`.

    `ids` is as in `StoredImage.labels`: the label of each class in the file, others being void.

    Raises
    ------
    ImageError
        If the file cannot be read, or a class is not in the palette.
    """
    stored = StoredImage.read(path)
    classes = labels_of_instances(stored.whole(), factor, plain=plain)
    try:
        return replace(stored, pixels=classes, step=1).labels(palette, ids)
    except ImageError as error:
        raise ImageError(
            f"{error} (classes are the file's numbers // {factor}, see `--instances`)"
        ) from error
