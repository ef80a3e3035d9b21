"""Measuring, shortening and drawing lines of text with the font that OpenCV carries.

Names of strangers may be among them, so that all text passes `names.shown` here: OpenCV crashes
over what is no Unicode.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from compnn.names import shown
from compnn.report.sheets.colours import INK, MUTED, Colour

REGULAR, BOLD = 400, 600
# Height of a line of text, in multiples of the font size.
LEADING = 1.3
# Where the baseline lies in that line, counted from its top.
_BASELINE = 0.98


@dataclass(frozen=True)
class Style:
    """How a line of text looks: font size in pixels, weight in 100..1000, and RGB colour."""

    size: int
    weight: int = REGULAR
    colour: Colour = INK

    @property
    def line_height(self) -> int:
        """Pixels from the top of one line to the top of the next."""
        return round(self.size * LEADING)


@dataclass(frozen=True)
class Lettering:
    """The text of a sheet, all from the size `em` of its names in pixels."""

    em: int

    @property
    def name(self) -> Style:
        return Style(self.em, BOLD)

    @property
    def detail(self) -> Style:
        return Style(round(0.85 * self.em), colour=MUTED)


@cache
def _font() -> cv2.FontFace:
    # Built into OpenCV 5, so that pictures are the same on machines without any fonts.
    return cv2.FontFace("sans")


def text_width(text: str, style: Style) -> int:
    """Return the pixels that a line of text takes in its direction of writing."""
    if not text:
        return 0
    _, _, width, _ = cv2.getTextSize((0, 0), shown(text), (0, 0), _font(), style.size, style.weight)
    return int(width)


def shorten(text: str, style: Style, width: int) -> str:
    """Return `text`, with an ellipsis for its middle if it is wider than `width` pixels.

    Both ends stay, because names of tensors and files often differ only in one of them.
    """
    text = shown(text)
    if text_width(text, style) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head = (kept + 1) // 2
        shorter = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
        if text_width(shorter, style) <= width:
            return shorter
    return "…"


def draw_text(pixels: npt.NDArray[np.uint8], text: str, top: int, left: int, style: Style) -> None:
    """Draw a line of text into (H, W, 3) uint8 RGB `pixels`, in place; parts outside are cut."""
    if text:
        baseline = top + round(style.size * _BASELINE)
        cv2.putText(
            pixels, shown(text), (left, baseline), style.colour, _font(), style.size, style.weight
        )
