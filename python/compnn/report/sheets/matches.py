"""The picture of two matched images (paper, Figure 8a)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compnn.report.facts import CONSISTENT, layer_title, patch_words
from compnn.report.sheets.agreement_table import agreement_table
from compnn.report.sheets.canvas import Canvas, beside, labelled, stacked, with_margin
from compnn.report.sheets.class_colours import ClassColours
from compnn.report.sheets.match_lines import MatchLine, draw_match_lines, match_lines
from compnn.report.sheets.match_points import match_points
from compnn.report.sheets.pictures import resized
from compnn.report.sheets.text import Lettering, Style
from compnn.studies.matching import Matching

_LINES = 30
_WIDEST_SMALL_PICTURE = 550


def match_sheet(
    matching: Matching,
    *,
    points: Sequence[tuple[int, int]] = (),
    names: tuple[str, str] = ("A", "B"),
) -> npt.NDArray[np.uint8]:
    """Show which patches of A are matched to which of B, and how well their classes agree.

    Above are A and B, with lines between the matches of a regular sample of A's patches, or of
    the chosen points, which are numbered. Lines and their ends in A have the colour of the class
    in A, ends in B that of the class in B; matches that are not mutually consistent have thin
    lines. Below are the classes (what the network painted, where it paints photos), each image
    put together from the patches of the other, and the table of classes against classes.

    Parameters
    ----------
    matching
        The two images at one layer.
    points
        Pixels (y, x) of A, of which the matches are shown instead of the sample.
    names
        What A and B are called.

    Returns
    -------
    (height, width, 3) uint8 RGB, at most 2400 pixels wide.

    Raises
    ------
    SearchError
        If A has no such point.
    """
    style = _Style.of(matching.layer.image_size[1])
    colours = ClassColours(matching) if matching.class_names else None
    lines = match_lines(matching, points, _LINES, colours)
    parts = [_heading(matching, style), _matched_pair(matching, lines, names, style)]
    size = style.detail.size
    if colours is None:
        parts.append(beside(_small_pictures(matching, colours, style), style.channel // 3))
        if points:
            parts.append(match_points(matching, points, lines, style.width, size))
    else:
        pictures = _small_pictures(matching, colours, style)
        rows = [beside(pictures[:2], style.gap), beside(pictures[2:], style.gap)]
        width = style.width - rows[0].shape[1] - 2 * style.gap
        tables = [agreement_table(matching, colours, width, size)]
        if points:
            tables.append(match_points(matching, points, lines, width, size))
        right = stacked(tables, 2 * style.gap)
        parts.append(beside([stacked(rows, style.gap), right], 2 * style.gap))
    return with_margin(stacked(parts, style.gap), 2 * style.em)


@dataclass(frozen=True)
class _Style(Lettering):
    """Sizes in pixels: of the font and of a small picture's width, from which others follow."""

    small: int

    @classmethod
    def of(cls, natural: int) -> _Style:
        """Small pictures are whole multiples of the image, or reduced; large ones twice as wide."""
        whole = natural * max(1, _WIDEST_SMALL_PICTURE // natural)
        small = min(whole, _WIDEST_SMALL_PICTURE)
        return cls(min(24, max(14, small // 20)), small)

    @property
    def gap(self) -> int:
        return self.em

    @property
    def badge(self) -> int:
        """Radius of a point's number."""
        return round(0.75 * self.em)

    @property
    def channel(self) -> int:
        """Between A and B."""
        return 3 * self.em

    @property
    def width(self) -> int:
        return 4 * self.small + self.channel

    @property
    def title(self) -> Style:
        return Style(round(1.5 * self.em), bold=True)


def _heading(matching: Matching, style: _Style) -> npt.NDArray[np.uint8]:
    canvas = Canvas(style.title.line_height + 2 * style.detail.line_height, style.width)
    title = f"semantic correspondences at {layer_title(matching.layer)}"
    canvas.text(title, 0, 0, style.title, width=style.width)
    facts = [
        f"{patch_words(matching.layer)} patches",
        f"mean similarity {matching.forward.mean_similarity:.3f}",
        f"{matching.cycle_consistency(CONSISTENT):.0%} return to within a cell by A to B and back",
    ]
    key = "thin lines: no return to within one cell"
    if matching.class_names:
        facts.append(
            f"{matching.same_class:.0%} are matched to their own class ("
            f"{matching.chance:.0%} by chance)"
        )
        key = f"lines and left ends: class in A; right ends: class in B; {key}"
    lines = (", ".join(facts), key)
    canvas.lines(lines, style.title.line_height, 0, style.detail, style.width)
    return canvas.pixels


def _matched_pair(
    matching: Matching, lines: Sequence[MatchLine], names: tuple[str, str], style: _Style
) -> npt.NDArray[np.uint8]:
    width = 2 * style.small
    top = style.name.line_height + style.gap // 4
    right = width + style.channel
    pictures = resized(matching.a, width), resized(matching.b, width)
    height = max(picture.shape[0] for picture in pictures)
    canvas = Canvas(top + height + 1, style.width + 1)
    for name, picture, left in zip(names, pictures, (0, right), strict=True):
        canvas.text(name, 0, left, style.name, width=width)
        canvas.framed(picture, top, left)
    corners = ((top, 0), (top, right))
    scales = width / matching.a.shape[1], width / matching.b.shape[1]
    draw_match_lines(canvas, lines, corners, scales, style.badge)
    return canvas.pixels


def _small_pictures(
    matching: Matching, colours: ClassColours | None, style: _Style
) -> list[npt.NDArray[np.uint8]]:
    """What the network says of A and of B, and each put together from patches of the other."""
    said = []
    for name, image, output in (
        ("A", matching.a, matching.output_a),
        ("B", matching.b, matching.output_b),
    ):
        if output is not None and colours is None:
            said.append(_labelled(f"{name}: network output", output, style))
        elif output is not None and colours is not None:
            tinted = colours.tinted(image, output)
            said.append(_labelled(f"{name}: predicted classes", tinted, style))
    return [
        *said,
        _labelled("A from patches of B", matching.a_from_b, style),
        _labelled("B from patches of A", matching.b_from_a, style),
    ]


def _labelled(label: str, picture: npt.NDArray[np.uint8], style: _Style) -> npt.NDArray[np.uint8]:
    return labelled(label, resized(picture, style.small), style.detail, style.gap // 4)
