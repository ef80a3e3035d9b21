"""A facade before it is painted: its elements, where they stand, and the label map they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from compnn.demo.facade.styles import CLASS_INDEX, Style

SIZE = 256
"""Height and width of a facade's label map and photo, in pixels."""
PAVEMENT = 246
"""First row of the pavement."""

Mask = npt.NDArray[np.bool_]
_Point = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Box:
    """Columns [left, right) and rows [top, bottom), in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def scaled(self, factor: int) -> Box:
        return Box(self.left * factor, self.top * factor, self.right * factor, self.bottom * factor)


@dataclass(frozen=True)
class Element:
    """One thing on a facade: its class, where it is, and what rendering has to know about it."""

    kind: str
    box: Box
    look: str = ""
    arch: int = 0
    """Rise of its arched top, in pixels."""


@dataclass
class Layout:
    """A building before it is painted; `elements` stand in painting order."""

    style: Style
    wall: str
    material: str
    roof: str
    storeys: int
    left: int
    right: int
    wall_outline: list[tuple[int, int]] = field(default_factory=list)
    roof_outline: list[tuple[int, int]] = field(default_factory=list)
    behind: list[Element] = field(default_factory=list)
    """Trees and chimneys, which the roof and the wall hide in part."""
    elements: list[Element] = field(default_factory=list)

    def add(
        self, kind: str, left: int, top: int, right: int, bottom: int, look: str = "", arch: int = 0
    ) -> None:
        self.elements.append(Element(kind, Box(left, top, right, bottom), look, arch))


def arched(height: int, width: int, rise: int) -> Mask:
    """Mask (height, width) of a box whose top `rise` rows are half an ellipse."""
    mask = np.ones((height, width), bool)
    rise = min(rise, height)
    if rise:
        # In whole numbers, so that every machine draws the same arch.
        y = (2 * np.arange(rise) + 1 - 2 * rise)[:, None]
        x = (2 * np.arange(width) + 1 - width)[None, :]
        mask[:rise] = y * y * width * width + x * x * 4 * rise * rise <= 4 * rise * rise * width**2
    return mask


def outline_mask(points: Sequence[tuple[int, int]], scale: int) -> Mask:
    """Mask (SIZE * scale, SIZE * scale) of a polygon whose corners are given in pixels.

    The polygon has no gap in any row, and its border is part of it.
    """
    border = np.zeros((SIZE * scale, SIZE * scale), bool)
    if points:
        # Half-open corners keep polygons in step with boxes.
        corners = np.array(points) * scale
        corners -= corners == corners.max(axis=0)
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            x, y = _line(start, end)
            border[y, x] = True
    begun, not_ended = (
        np.logical_or.accumulate(part, axis=1) for part in (border, border[:, ::-1])
    )
    return np.asarray(begun & not_ended[:, ::-1])


def _line(start: _Point, end: _Point) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """x and y of the pixels of a line, by Bresenham from left to right, in whole numbers."""
    if start[0] > end[0]:
        start, end = end, start
    run, rise = end - start
    longer = max(run, abs(rise))
    steps = np.arange(longer + 1)
    across, along = (
        (2 * steps * each + longer - 1) // max(1, 2 * longer) for each in (run, abs(rise))
    )
    return start[0] + across, start[1] + np.sign(rise) * along


def label_map(layout: Layout) -> npt.NDArray[np.uint8]:
    """Class index of every pixel, uint8 (SIZE, SIZE)."""
    labels = np.full((SIZE, SIZE), CLASS_INDEX["sky"], np.uint8)

    def fill(element: Element) -> None:
        box = element.box
        clipped = Box(
            max(box.left, 0), max(box.top, 0), min(box.right, SIZE), min(box.bottom, SIZE)
        )
        if clipped.width <= 0 or clipped.height <= 0:
            return
        mask = arched(box.height, box.width, element.arch)[
            clipped.top - box.top : clipped.bottom - box.top,
            clipped.left - box.left : clipped.right - box.left,
        ]
        labels[clipped.top : clipped.bottom, clipped.left : clipped.right][mask] = CLASS_INDEX[
            element.kind
        ]

    for element in layout.behind:
        fill(element)
    labels[outline_mask(layout.roof_outline, 1)] = CLASS_INDEX["roof"]
    labels[outline_mask(layout.wall_outline, 1)] = CLASS_INDEX["wall"]
    for element in layout.elements:
        fill(element)
    return labels
