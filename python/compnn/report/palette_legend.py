"""The legend of a label map: a swatch and a name for each class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compnn.palette import Palette
from compnn.report.canvas import Canvas
from compnn.report.colours import HAIRLINE, MUTED, Colour
from compnn.report.text import BOLD, Style, text_width


def palette_legend(heading: str, palette: Palette, width: int, size: int) -> npt.NDArray[np.uint8]:
    """Return (h, `width`, 3) uint8 RGB: the classes in rows under a heading, font size `size`."""
    names = Style(size)
    entries = [
        (name, (int(red), int(green), int(blue)))
        for name, (red, green, blue) in zip(palette.classes, palette.colours, strict=True)
    ]
    if palette.void is not None:
        entries.append(("void", (0, 0, 0)))
    column = round(1.5 * size) + max(text_width(name, names) for name, _ in entries) + size
    columns = max(1, min(len(entries), width // column))
    rows = -(-len(entries) // columns)
    line = round(1.6 * size)
    canvas = Canvas((rows + 1) * line, width)
    canvas.text(heading, 0, 0, Style(size, BOLD, MUTED), width=width)
    for position, (name, colour) in enumerate(entries):
        top, left = (1 + position % rows) * line, position // rows * column
        _swatch(canvas, top + round(0.15 * size), left + 1, size, colour)
        text_left = left + round(1.5 * size)
        canvas.text(name, top, text_left, names, width=width - text_left)
    return canvas.pixels


def _swatch(canvas: Canvas, top: int, left: int, size: int, colour: Colour) -> None:
    canvas.fill(top - 1, left - 1, size + 2, size + 2, HAIRLINE)
    canvas.fill(top, left, size, size, colour)
