"""Lines and discs with smooth edges, which Pillow draws only with jagged ones.

Places are (row, column) in pixels; whole numbers are the middles of pixels. All is drawn into
(H, W, 3) uint8 RGB `pixels`, in place; parts outside are cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from compnn.report.sheets.colours import Colour

Place = tuple[float, float]


def draw_line(
    pixels: npt.NDArray[np.uint8],
    start: Place,
    end: Place,
    strokes: Sequence[tuple[float, Colour]],
) -> None:
    """Draw a line with round ends.

    Parameters
    ----------
    pixels, start, end
        See above.
    strokes
        (thickness, colour) of lines that lie upon each other, the widest and lowest first.
    """
    rise, run = end[0] - start[0], end[1] - start[1]
    if abs(rise) > abs(run):
        draw_line(pixels.swapaxes(0, 1), start[::-1], end[::-1], strokes)
        return
    height, width = pixels.shape[:2]
    # How far from the line a pixel is still touched.
    reach = strokes[0][0] / 2 + 0.5
    first = max(0, math.ceil(min(start[1], end[1]) - reach))
    last = min(width - 1, math.floor(max(start[1], end[1]) + reach))
    cols = np.arange(first, last + 1)
    # The line is flat, so that few rows of each column are near it.
    slope = rise / run if run else 0.0
    upright = reach * math.hypot(1, slope)
    uppermost = np.ceil(start[0] + slope * (cols - start[1]) - upright).astype(np.int64)
    rows = uppermost + np.arange(math.floor(2 * upright) + 1)[:, None]
    # Along the line, from its start, and across it.
    length = math.hypot(rise, run)
    sine, cosine = (rise / length, run / length) if length else (0.0, 1.0)
    down, right = (rows - start[0]).astype(np.float32), (cols - start[1]).astype(np.float32)
    along = sine * down + cosine * right
    across = cosine * down - sine * right
    beyond = along - np.clip(along, 0, length)
    distance = np.sqrt(across * across + beyond * beyond)
    touched = (distance < reach) & (rows >= 0) & (rows < height)
    at = rows[touched], np.broadcast_to(cols, rows.shape)[touched]
    drawn, distance = pixels[at], distance[touched]
    for thickness, colour in strokes:
        _mix(drawn, colour, np.clip(thickness / 2 + 0.5 - distance, 0, 1))
    pixels[at] = drawn


def draw_disc(
    pixels: npt.NDArray[np.uint8], centre: Place, strokes: Sequence[tuple[float, Colour]]
) -> None:
    """Draw filled circles around one place: (diameter, colour), the widest and lowest first."""
    draw_line(pixels, centre, centre, strokes)


def draw_stencil(
    pixels: npt.NDArray[np.uint8],
    stencil: npt.NDArray[np.uint8],
    top: int,
    left: int,
    colour: Colour,
) -> None:
    """Colour the pixels as far as a stencil with its corner at (top, left) covers them.

    The stencil, uint8 (h, w), has 255 where all of a pixel takes the colour.
    """
    height, width = pixels.shape[:2]
    inside = stencil[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
    top, left = max(0, top), max(0, left)
    below = pixels[top : top + inside.shape[0], left : left + inside.shape[1]]
    _mix(below, colour, inside / np.float32(255))


def _mix(pixels: npt.NDArray[np.uint8], colour: Colour, share: npt.NDArray[np.float32]) -> None:
    """Give the pixels (..., 3), in place, this share (...) of the colour."""
    for channel, full in enumerate(colour):
        below = pixels[..., channel]
        below[:] = np.rint(below + share * (np.float32(full) - below))
