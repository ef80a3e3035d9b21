"""The colour in which reports of a matching show each class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compnn.report.sheets.colours import OTHERS, SOURCE_COLOURS, Colour
from compnn.studies.matching import Matching

# Of the class's colour in a tinted picture; the rest is the picture.
_TINT = 0.6


class ClassColours:
    """The palette's colours; without one, `SOURCE_COLOURS` for the classes of most patches.

    Unnamed classes after the eighth are all of one grey. Void is black.
    """

    def __init__(self, matching: Matching) -> None:
        self._table = np.zeros((256, 3), dtype=np.uint8)
        count = len(matching.class_names)
        if matching.palette is not None:
            self._table[:count] = matching.palette.colours
            return
        in_a, in_b = matching.class_counts()
        ranked = np.argsort(-(in_a + in_b), kind="stable")
        self._table[:count] = OTHERS
        for label, colour in zip(ranked, SOURCE_COLOURS, strict=False):
            self._table[label] = colour

    def __getitem__(self, label: int) -> Colour:
        red, green, blue = self._table[label].tolist()
        return red, green, blue

    def tinted(
        self, image: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.uint8]:
        """Return the photo (H, W, 3) tinted with the classes of a label map (H, W)."""
        colours = self._table * np.float32(_TINT)
        mixed: npt.NDArray[np.float32] = image * np.float32(1 - _TINT) + colours[labels]
        return np.rint(mixed).astype(np.uint8)
