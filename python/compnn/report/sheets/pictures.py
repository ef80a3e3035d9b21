"""Photos and label maps as they are shown: resized, or reduced to their brightness."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from compnn.images.palette import Palette


def shades(image: npt.NDArray[np.uint8], palette: Palette | None) -> npt.NDArray[np.uint8]:
    """Return the brightness (H, W) uint8 that keeps a picture readable without its colours.

    A photo gives its luma. Classes of a label map get evenly spaced greys in the order of the
    palette, because their colours may be equally bright. A photo with a palette is a painted label
    map.
    """
    if image.ndim == 3:
        if palette is None:
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        image = palette.quantise(image)
    classes = int(image.max()) + 1 if palette is None else len(palette)
    greys = np.zeros(256, dtype=np.uint8)
    greys[:classes] = np.linspace(80, 255, classes).round()
    return greys[image]


def height_at(size: tuple[int, int], width: int) -> int:
    """Return the height of an image of `size` (height, width) when it is shown `width` wide."""
    return max(1, round(size[0] * width / size[1]))


def resized(image: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    """Return an image at the width `width`; enlarged pixels stay sharp squares."""
    if width == image.shape[1]:
        return image
    method = cv2.INTER_NEAREST if width > image.shape[1] else cv2.INTER_AREA
    size = (width, height_at((image.shape[0], image.shape[1]), width))
    return np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.uint8)
