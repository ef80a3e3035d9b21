"""The list of chosen points and of what they are matched to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from compnn.report.sheets.canvas import Canvas
from compnn.report.sheets.colours import MUTED
from compnn.report.sheets.match_lines import MatchLine
from compnn.report.sheets.text import Style
from compnn.studies.matching import Matching


def match_points(
    matching: Matching,
    points: Sequence[tuple[int, int]],
    lines: Sequence[MatchLine],
    width: int,
    size: int,
) -> npt.NDArray[np.uint8]:
    """Draw a line of text for each point (y, x) of A, in font size `size`.

    Returns
    -------
    (h, `width`, 3) uint8 RGB.
    """
    radius = round(0.75 * size)
    step = 2 * radius + round(0.8 * size)
    note, plain = Style(size, colour=MUTED), Style(size)
    top = Style(size, bold=True).line_height + note.line_height
    canvas = Canvas(top + len(points) * step, width)
    canvas.text("chosen points", 0, 0, Style(size, bold=True), width=width)
    words = "pixel y,x of A to that of B, similarity"
    if matching.class_names:
        words += ", class in A to class in B"
    canvas.text(words, note.line_height, 0, note, width=width)
    for row, ((y, x), line) in enumerate(zip(points, lines, strict=True)):
        middle = top + row * step + step // 2
        canvas.badge(line.number, (middle, radius + 2), radius, line.start_colour)
        found = matching.point(y, x)
        text = f"{y},{x} to {found.y},{found.x}   {found.similarity:.3f}"
        if found.y < 0:
            text = f"{y},{x}: no match"
        elif matching.class_names:
            text += "   " + " to ".join(matching.point_classes(y, x))
        left = 2 * radius + size
        canvas.text(text, middle - plain.line_height // 2, left, plain, width=width - left)
    return canvas.pixels
