"""Lines between two matched images, with dots or numbers at their ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compnn.network.layer import Layer
from compnn.report.facts import CONSISTENT
from compnn.report.sheets.canvas import Canvas
from compnn.report.sheets.class_colours import ClassColours
from compnn.report.sheets.colours import SOURCE_COLOURS, WHITE, Colour
from compnn.report.sheets.match_sample import sample_patches
from compnn.report.sheets.shapes import Place, draw_disc, draw_line
from compnn.studies.matching import Matching


@dataclass(frozen=True)
class MatchLine:
    """A match to draw.

    Attributes
    ----------
    start, end
        Pixels (y, x) of A and of B; no end where there is no match.
    start_colour, end_colour
        Of the class in A, and in B; the same colour where there are no classes.
    consistent
        Whether the match is mutually consistent.
    number
        Of the chosen point, from 1; 0 for a patch of the sample.
    """

    start: Place
    end: Place | None
    start_colour: Colour
    end_colour: Colour
    consistent: bool
    number: int


def match_lines(
    matching: Matching,
    points: Sequence[tuple[int, int]],
    count: int,
    colours: ClassColours | None,
) -> list[MatchLine]:
    """Return the matches of the points (y, x) of A, or of about `count` patches if there are none.

    Raises
    ------
    SearchError
        If A has no such point.
    """
    layer, field = matching.layer, matching.forward
    ends: list[tuple[tuple[int, int], Place, Place | None]]
    if points:
        found = [(y, x, matching.point(y, x)) for y, x in points]
        rows, cols = layer.looks.owners()
        ends = [
            ((int(rows[y]), int(cols[x])), (y, x), None if to.y < 0 else (to.y, to.x))
            for y, x, to in found
        ]
    else:
        ends = []
        for at in sample_patches(matching, count):
            matched = int(field.row[0][at]), int(field.col[0][at])
            if matched[0] < 0:
                continue
            ends.append((at, _centre(layer, at), _centre(matching.layer_b, matched)))
    lines = []
    for number, (at, start, end) in enumerate(ends):
        start_colour = end_colour = SOURCE_COLOURS[number % len(SOURCE_COLOURS)]
        if colours is not None:
            start_colour = colours[matching.classes_a[at]]
            end_colour = colours[matching.matched_classes[at]]
        consistent = bool(matching.cycle[at] <= CONSISTENT)
        label = number + 1 if points else 0
        lines.append(MatchLine(start, end, start_colour, end_colour, consistent, label))
    return lines


def draw_match_lines(
    canvas: Canvas,
    lines: Sequence[MatchLine],
    corners: tuple[tuple[int, int], tuple[int, int]],
    scales: tuple[float, float],
    badge: int,
) -> None:
    """Draw over pictures of A and B with these corners (top, left), enlarged by `scales`.

    Lines that are not consistent are thin and lie below the others; all ends lie above all lines.
    `badge` is the radius of numbers.
    """
    ordered = sorted(lines, key=lambda line: line.consistent)
    starts = [_on_sheet(line.start, corners[0], scales[0]) for line in ordered]
    ends = [
        None if line.end is None else _on_sheet(line.end, corners[1], scales[1]) for line in ordered
    ]
    placed = list(zip(ordered, starts, ends, strict=True))
    for line, start, end in placed:
        if end is not None:
            _draw_line(canvas, start, end, line.start_colour, thin=not line.consistent)
    for line, start, end in placed:
        _draw_end(canvas, start, line.start_colour, line.number, badge)
        if end is not None:
            _draw_end(canvas, end, line.end_colour, line.number, badge)


def _centre(layer: Layer, at: tuple[int, int]) -> Place:
    """The pixel (y, x) in the middle of the hyperpatch at a grid position."""
    y, x = (
        min(max(float(centre) - 0.5, 0.0), pixels - 1.0)
        for centre, pixels in zip(layer.looks.centre(at), layer.image_size, strict=True)
    )
    return y, x


def _on_sheet(place: Place, corner: tuple[int, int], scale: float) -> Place:
    return corner[0] + (place[0] + 0.5) * scale, corner[1] + (place[1] + 0.5) * scale


def _draw_line(canvas: Canvas, start: Place, end: Place, colour: Colour, *, thin: bool) -> None:
    strokes = ((4.5, WHITE), (3.5, colour)) if thin else ((7.5, WHITE), (6, colour))
    draw_line(canvas.pixels, start, end, strokes)


def _draw_end(canvas: Canvas, place: Place, colour: Colour, number: int, badge: int) -> None:
    if number:
        canvas.badge(number, (round(place[0]), round(place[1])), badge, colour)
        return
    draw_disc(canvas.pixels, place, ((17, WHITE), (13, colour)))
