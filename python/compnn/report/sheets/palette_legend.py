"""The legends of label maps: a swatch and a name for each class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compnn.images.palette import Palette
from compnn.report.sheets.canvas import Canvas
from compnn.report.sheets.colours import MUTED
from compnn.report.sheets.text import BOLD, Style, text_width


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
        canvas.swatch(top + round(0.15 * size), left + 1, size, colour)
        text_left = left + round(1.5 * size)
        canvas.text(name, top, text_left, names, width=width - text_left)
    return canvas.pixels


def palette_legends(
    input_palette: Palette | None, target_palette: Palette | None, width: int, size: int
) -> list[npt.NDArray[np.uint8]]:
    """Return the legends of inputs and outputs: one if they are the same, none for photos."""
    palettes = {"input classes": input_palette, "output classes": target_palette}
    if input_palette == target_palette:
        palettes = {"classes": target_palette}
    return [
        palette_legend(heading, palette, width, size)
        for heading, palette in palettes.items()
        if palette is not None
    ]
