"""How a stored image becomes the input or the target of a pair, given its palette."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from compnn.images import StoredImage
from compnn.palette import Palette


def as_input(image: StoredImage, palette: Palette | None) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB as the network sees it; index images are painted."""
    return image.rgb() if palette is None else image.painted(palette)


def as_target(
    image: StoredImage, palette: Palette | None, ids: Mapping[int, int] | None = None
) -> npt.NDArray[np.uint8]:
    """Return an (H, W, 3) uint8 RGB photo, or with a palette an (H, W) uint8 label map."""
    return image.rgb() if palette is None else image.labels(palette, ids)
