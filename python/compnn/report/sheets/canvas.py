"""A white sheet on which pictures, text, bars and rank badges are placed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from compnn.report.sheets.colours import HAIRLINE, INK, WHITE, Colour, ink_on
from compnn.report.sheets.shapes import draw_disc
from compnn.report.sheets.text import Style, draw_text, shorten, text_width


class Canvas:
    """A white picture that is drawn on with positions (top, left) in pixels.

    Attributes
    ----------
    pixels : (height, width, 3) uint8 RGB
    """

    def __init__(self, height: int, width: int) -> None:
        self.pixels: npt.NDArray[np.uint8] = np.full((height, width, 3), 255, dtype=np.uint8)

    def paste(self, picture: npt.NDArray[np.uint8], top: int, left: int) -> None:
        """Place (h, w, 3) uint8 RGB, which must fit."""
        height, width = picture.shape[:2]
        self.pixels[top : top + height, left : left + width] = picture

    def framed(self, picture: npt.NDArray[np.uint8], top: int, left: int) -> None:
        """Place a picture with a hairline around it, which lets white ones end on white paper."""
        height, width = picture.shape[:2]
        for row in (top - 1, top + height):
            self.fill(row, left - 1, 1, width + 2, HAIRLINE)
        for col in (left - 1, left + width):
            self.fill(top, col, height, 1, HAIRLINE)
        self.paste(picture, top, left)

    def fill(self, top: int, left: int, height: int, width: int, colour: Colour) -> None:
        """Fill a rectangle; parts outside are cut."""
        self.pixels[max(top, 0) : top + height, max(left, 0) : left + width] = colour

    def swatch(self, top: int, left: int, size: int, colour: Colour) -> None:
        """Draw a square of a colour with a hairline around it."""
        self.fill(top - 1, left - 1, size + 2, size + 2, HAIRLINE)
        self.fill(top, left, size, size, colour)

    def text(
        self,
        text: str,
        top: int,
        left: int,
        style: Style,
        *,
        width: int | None = None,
        align: Literal["left", "right"] = "left",
    ) -> None:
        """Write a line; one wider than `width` is shortened, one aligned right ends at `left`."""
        if width is not None:
            text = shorten(text, style, width)
        if align == "right":
            left -= text_width(text, style)
        draw_text(self.pixels, text, top, left, style)

    def lines(self, texts: Sequence[str], top: int, left: int, style: Style, width: int) -> None:
        """Write lines below each other, each shortened to `width`."""
        for number, text in enumerate(texts):
            self.text(text, top + number * style.line_height, left, style, width=width)

    def upward_text(self, text: str, top: int, left: int, height: int, style: Style) -> None:
        """Write a line from bottom to top, centred in `height` pixels."""
        text = shorten(text, style, height)
        line = Canvas(style.line_height, text_width(text, style) + 2)
        line.text(text, 0, 1, style)
        turned = np.rot90(line.pixels)
        self.paste(turned[:height], top + max(0, (height - turned.shape[0]) // 2), left)

    def badge(self, number: int, centre: tuple[int, int], radius: int, colour: Colour) -> None:
        """Draw a rank: a disc in the colour of a source with a number in it, at (row, column)."""
        row, column = centre
        rings = ((radius + 2, INK), (radius + 1, WHITE), (radius - 1, colour))
        draw_disc(self.pixels, centre, [(2 * reach + 1, shade) for reach, shade in rings])
        style = Style(round(1.35 * radius), bold=True, colour=ink_on(colour))
        digits = str(number)
        left = column - text_width(digits, style) // 2
        self.text(digits, row - round(0.63 * style.size), left, style)


def labelled(
    label: str, picture: npt.NDArray[np.uint8], style: Style, gap: int
) -> npt.NDArray[np.uint8]:
    """Put a label above a picture, `gap` pixels apart, and a hairline around the picture."""
    height, width = picture.shape[:2]
    top = style.line_height + gap
    canvas = Canvas(top + height + 1, width + 1)
    canvas.text(label, 0, 0, style, width=width)
    canvas.framed(picture, top, 0)
    return canvas.pixels


def overlaid(
    band: npt.NDArray[np.uint8], picture: npt.NDArray[np.uint8], top: int, left: int
) -> npt.NDArray[np.uint8]:
    """Put a picture onto a band as wide as both, which becomes higher if need be."""
    canvas = Canvas(max(band.shape[0], top + picture.shape[0]), band.shape[1])
    canvas.paste(band, 0, 0)
    canvas.paste(picture, top, left)
    return canvas.pixels


def stacked(bands: Sequence[npt.NDArray[np.uint8]], gap: int) -> npt.NDArray[np.uint8]:
    """Put bands below each other on white, left edges aligned, `gap` pixels apart."""
    width = max(band.shape[1] for band in bands)
    canvas = Canvas(sum(band.shape[0] for band in bands) + gap * (len(bands) - 1), width)
    top = 0
    for band in bands:
        canvas.paste(band, top, 0)
        top += band.shape[0] + gap
    return canvas.pixels


def beside(panels: Sequence[npt.NDArray[np.uint8]], gap: int) -> npt.NDArray[np.uint8]:
    """Put panels next to each other on white, top edges aligned, `gap` pixels apart."""
    height = max(panel.shape[0] for panel in panels)
    canvas = Canvas(height, sum(panel.shape[1] for panel in panels) + gap * (len(panels) - 1))
    left = 0
    for panel in panels:
        canvas.paste(panel, 0, left)
        left += panel.shape[1] + gap
    return canvas.pixels


def with_margin(picture: npt.NDArray[np.uint8], margin: int) -> npt.NDArray[np.uint8]:
    """Return the picture with `margin` white pixels on every side."""
    sides = ((margin, margin), (margin, margin), (0, 0))
    return np.pad(picture, sides, constant_values=255)
