"""The legends of pictures: the classes of label maps, the scale of values."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from compnn.explanation.explanation import Explanation
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.images.palette import Palette
from compnn.report.sheets.canvas import Canvas
from compnn.report.sheets.colours import MUTED
from compnn.report.sheets.text import Style, text_width


def legends(
    input_kind: Kind, target_kind: Kind, width: int, size: int, *, hatched: bool
) -> list[npt.NDArray[np.uint8]]:
    """The legends of inputs and outputs, each (h, `width`, 3) uint8 RGB, in font size `size`.

    One if they are the same, none for photos. Inputs that are values are shown as the network sees
    them, which has no scale. With `hatched`, one more says what the hatching is.
    """
    kinds = {"input classes": input_kind, "output classes": target_kind}
    if input_kind == target_kind:
        kinds = {"classes": target_kind}
    drawn = [
        _classes(heading, kind.palette, width, size)
        for heading, kind in kinds.items()
        if isinstance(kind, Labels)
    ]
    if isinstance(target_kind, Values):
        drawn.append(_scale("output values", target_kind, width, size))
    if hatched:
        drawn.append(_hatching(width, size))
    return drawn


def is_hatched(explanations: Iterable[Explanation]) -> bool:
    """Whether a reconstruction has pixels without evidence."""
    return any(each.no_evidence.any() or each.input_no_evidence.any() for each in explanations)


def _hatching(width: int, size: int) -> npt.NDArray[np.uint8]:
    """A hatched swatch, and what it means."""
    style, line = Style(size), round(1.6 * size)
    canvas = Canvas(line, width)
    swatch = np.zeros((size, 2 * size, 3), np.uint8)
    hatched = Photo().unmatched(swatch, np.ones(swatch.shape[:2], np.bool_))
    canvas.framed(hatched, round(0.15 * size), 1)
    left = round(2.5 * size)
    text = "no evidence: no training patch matches"
    canvas.text(text, 0, left, style, width=width - left)
    return canvas.pixels


def _classes(heading: str, palette: Palette, width: int, size: int) -> npt.NDArray[np.uint8]:
    """A swatch and a name for each class, in rows under a heading."""
    names = Style(size)
    entries = [
        (name, (int(red), int(green), int(blue)))
        for name, (red, green, blue) in zip(palette.classes, palette.colours, strict=True)
    ]
    if palette.void is not None:
        entries.append(("void", palette.void_colour))
    column = round(1.5 * size) + max(text_width(name, names) for name, _ in entries) + size
    columns = max(1, min(len(entries), width // column))
    rows = -(-len(entries) // columns)
    line = round(1.6 * size)
    canvas = Canvas((rows + 1) * line, width)
    canvas.text(heading, 0, 0, Style(size, bold=True, colour=MUTED), width=width)
    for position, (name, colour) in enumerate(entries):
        top, left = (1 + position % rows) * line, position // rows * column
        canvas.swatch(top + round(0.15 * size), left + 1, size, colour)
        text_left = left + round(1.5 * size)
        canvas.text(name, top, text_left, names, width=width - text_left)
    return canvas.pixels


def _scale(heading: str, kind: Values, width: int, size: int) -> npt.NDArray[np.uint8]:
    """The greys of values, between the lowest and the highest that are told apart."""
    style, line = Style(size), round(1.6 * size)
    low, high = (f"{limit:g} {kind.unit}".strip() for limit in kind.limits)
    canvas = Canvas(2 * line, width)
    canvas.text(heading, 0, 0, Style(size, bold=True, colour=MUTED), width=width)
    left = text_width(low, style) + size
    bar = max(1, min(12 * size, width - left - size - text_width(high, style)))
    values = np.linspace(*kind.limits, bar, dtype=np.float32)[np.newaxis].repeat(size, axis=0)
    canvas.text(low, line, 0, style)
    top = line + round(0.15 * size)
    right = min(left + bar, width)
    if right > left:
        canvas.framed(kind.paint(values)[:, : right - left], top, left)
    canvas.text(high, line, left + bar + size, style)
    return canvas.pixels
