"""Files that hold class and instance of each pixel in one number."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError
from compnn.files import read_file
from compnn.images.palette import Palette


def labels_of_instances(
    values: npt.NDArray[np.uint16], factor: int, *, plain: bool = False
) -> npt.NDArray[np.uint16]:
    """Return the class of each pixel, (H, W) uint16, of numbers that tell instances apart, too.

    Parameters
    ----------
    values
        (H, W) uint16: class * factor + instance.
    factor
        More than the instances of a class in an image: 256 as KITTI has it, 1000 as Cityscapes.
    plain
        Whether numbers below the factor are classes without instances, as in Cityscapes.
    """
    classes = values // np.uint16(factor)
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
    classes = labels_of_instances(read16(path), factor, plain=plain)
    table = np.full(1 << 16, -1, np.int16)
    if ids is None:
        table[:256] = palette.label_of_index()
    else:
        table[:] = -1 if palette.void is None else palette.void
        table[list(ids)] = list(ids.values())
    labels = table[classes]
    if (labels < 0).any():
        stray = int(classes[labels < 0].min())
        raise ImageError(
            f"instances {path} hold the class {stray} (number // {factor}), which is not in "
            f"{palette.describe_indices()}; choose another palette, or another factor "
            f"(`--instances`)"
        )
    return labels.astype(np.uint8)


def read16(path: Path) -> npt.NDArray[np.uint16]:
    """Read a file of one channel with up to 16 bits as (H, W) uint16.

    Raises
    ------
    ImageError
        If it cannot be read, or has colours.
    """
    from PIL import Image  # few data sets need it, and it takes a while to load

    try:
        with Image.open(io.BytesIO(read_file(path))) as image:
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"image {path} cannot be read: {reason}; check the file") from error
    if values.ndim != 2 or values.dtype.kind not in "iu" or values.min() < 0 or values.max() >> 16:
        raise ImageError(
            f"image {path} has {values.dtype} pixels {values.shape}, not one channel of up to 16 "
            f"bits, which numbers of instances have; give a grey PNG"
        )
    return values.astype(np.uint16)
