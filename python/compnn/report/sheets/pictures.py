"""Pictures as they are shown: resized, or reduced to their brightness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from compnn.images import resize
from compnn.images.kinds import Kind, Labels, Picture


def shades(picture: Picture, kind: Kind) -> npt.NDArray[np.uint8]:
    """Return the brightness (H, W) uint8 that keeps a picture readable without its colours.

    Photos and values give their luma. Classes of a label map, painted or not, get evenly spaced
    greys in the order of the palette, because their colours may be equally bright.
    """
    if not isinstance(kind, Labels):
        return np.array(Image.fromarray(kind.paint(picture)).convert("L"))
    classes = len(kind.palette)
    greys = np.zeros(256, dtype=np.uint8)
    greys[:classes] = np.linspace(80, 255, classes).round()
    return greys[kind.labels(picture)]


def height_at(size: tuple[int, int], width: int) -> int:
    """Return the height of an image of `size` (height, width) when it is shown `width` wide."""
    return max(1, round(size[0] * width / size[1]))


def resized(image: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    """Return an image at the width `width`; enlarged pixels stay sharp squares."""
    if width == image.shape[1]:
        return image
    size = height_at((image.shape[0], image.shape[1]), width), width
    if width > image.shape[1]:
        return resize.resized(image, size, nearest=True)
    # Quicker than `resize`, and as good to look at.
    method = Image.Resampling.HAMMING
    return np.asarray(Image.fromarray(image).resize(size[::-1], method, reducing_gap=2))


def inside(image: npt.NDArray[np.uint8], cell: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return an image as wide as `cell` (height, width), or narrower where it would be higher."""
    size, width = (image.shape[0], image.shape[1]), cell[1]
    if height_at(size, width) > cell[0]:
        width = max(1, cell[0] * size[1] // size[0])
    return resized(image, width)[: cell[0]]
