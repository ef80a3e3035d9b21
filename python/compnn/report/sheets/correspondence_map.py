"""The correspondence map: which training image gave which pixels (paper, Figure 7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from compnn.errors import SearchError
from compnn.explanation.explanation import Explanation
from compnn.images import resize
from compnn.images.kinds import Photo
from compnn.report.facts import LegendRow, layer_title, legend_rows, patch_words
from compnn.report.sheets.canvas import Canvas, beside, labelled, stacked, with_margin
from compnn.report.sheets.colours import INK, MUTED, OTHERS, SOURCE_COLOURS, highlight
from compnn.report.sheets.pictures import height_at, resized, shades
from compnn.report.sheets.region_badges import badge_centres
from compnn.report.sheets.text import Style

_EM = 24
_GAP = 20
_TITLE = Style(round(1.5 * _EM), bold=True)
_NAME = Style(_EM, bold=True)
_PLAIN = Style(_EM)
_DETAIL = Style(round(0.85 * _EM), colour=MUTED)
_BADGE = 17
_PERCENT_WIDTH = 4 * _EM
_MOST_CARDS_IN_ONE_COLUMN = 3
_WIDEST_PICTURE = 320
_WIDEST_WHOLE_PICTURE = 400


def correspondence_map(explanation: Explanation, *, sources: int = 6) -> npt.NDArray[np.uint8]:
    """Show in the output reconstruction, and in its sources, which pixels came from where.

    The large picture is the output reconstruction: the pixels from each of the top sources carry
    the colour and the rank of that source, all others are grey. To its right is one card for each
    of these sources, its target and its input, where the pixels that it gave are in the same
    colour. The legend lists the sources with their share of the pixels.

    Parameters
    ----------
    explanation
        The query at one layer.
    sources
        Number of sources to colour, 1 to 8; fewer are shown where there are not as many.

    Returns
    -------
    (height, width, 3) uint8 RGB.

    Raises
    ------
    SearchError
        If `sources` is not in 1..8.
    """
    if not 1 <= sources <= len(SOURCE_COLOURS):
        raise SearchError(
            f"a correspondence map can tell 1 to {len(SOURCE_COLOURS)} sources apart by colour, "
            f"not {sources}; ask for a number in that range"
        )
    rows = legend_rows(explanation, sources)
    shown = [row for row in rows if row.index is not None]
    picture = _picture_width(explanation.layer.output_size[1])
    cards = [_card(explanation, row, picture) for row in shown]
    columns = 1 if len(cards) <= _MOST_CARDS_IN_ONE_COLUMN else 2
    lines = [
        beside(cards[start : start + columns], 2 * _GAP) for start in range(0, len(cards), columns)
    ]
    left = _answer_panel(explanation, rows, 2 * picture)
    parts = [left, stacked(lines, round(1.5 * _GAP))] if lines else [left]
    return with_margin(beside(parts, 3 * _GAP), 2 * _GAP)


def _picture_width(natural: int) -> int:
    """Return the width of a picture in a card; the large one is twice as wide.

    Both are whole multiples of the image where it is small.
    """
    if natural <= _WIDEST_WHOLE_PICTURE:
        return natural * max(1, _WIDEST_PICTURE // natural)
    return min(natural // 2, _WIDEST_PICTURE)


def _answer_panel(
    explanation: Explanation, rows: Sequence[LegendRow], width: int
) -> npt.NDArray[np.uint8]:
    heading = Canvas(_TITLE.line_height + _DETAIL.line_height, width)
    heading.text(layer_title(explanation.layer), 0, 0, _TITLE, width=width)
    similarity = explanation.field.mean_similarity
    detail = f"{patch_words(explanation.layer)} patches, mean similarity {similarity:.3f}"
    heading.text(detail, _TITLE.line_height, 0, _DETAIL, width=width)

    paint, own = explanation.target_kind.paint, explanation.network_output
    pictures = {
        "input": explanation.painted_query,
        **({} if own is None else {"network output": paint(own)}),
        "reconstruction": explanation.painted_output,
    }
    small = (width - _GAP) // 3
    small_ones = [_labelled(label, resized(each, small)) for label, each in pictures.items()]
    parts = [
        heading.pixels,
        _labelled("output reconstruction, by source", _large_map(explanation, rows, width)),
        _legend(rows, width),
        beside(small_ones, _GAP // 2),
    ]
    return stacked(parts, _GAP)


def _large_map(
    explanation: Explanation, rows: Sequence[LegendRow], width: int
) -> npt.NDArray[np.uint8]:
    ranks = np.full(explanation.layer.output_size, -1, dtype=np.int32)
    shown = [row.index for row in rows if row.index is not None]
    for rank, index in enumerate(shown):
        ranks[explanation.provenance.image == index] = rank
    patch = min(explanation.layer.patch)
    shade = shades(explanation.output, explanation.target_kind)
    if (nothing := explanation.no_evidence).any():
        shade = np.where(nothing, shades(explanation.painted_output, Photo()), shade)
    tinted, ranks = _tinted(shade, ranks, width, patch)
    canvas = Canvas(*ranks.shape)
    canvas.paste(tinted, 0, 0)
    for rank, centre in badge_centres(ranks, len(shown), _BADGE + 2):
        canvas.badge(rank + 1, centre, _BADGE, SOURCE_COLOURS[rank])
    return canvas.pixels


def _card(explanation: Explanation, row: LegendRow, width: int) -> npt.NDArray[np.uint8]:
    """Return the target and the input of a source, with the pixels that it gave in its colour."""
    assert row.index is not None
    assert row.rank is not None
    source_input, source_target = explanation.source_images(row.index)
    patch = min(explanation.layer.patch)
    tinted = []
    for picture, kind, given in (
        (source_target, explanation.target_kind, explanation.provenance),
        (source_input, explanation.input_kind, explanation.input_provenance),
    ):
        used = given.image == row.index
        ranks = np.full(picture.shape[:2], -1, dtype=np.int32)
        ranks[given.row[used], given.col[used]] = row.rank - 1
        tinted.append(_tinted(shades(picture, kind), ranks, width, patch)[0])
    output, input_ = tinted
    body = beside([_labelled("output", output), _labelled("input", input_)], _GAP // 2)
    heading = Canvas(2 * _BADGE + 6, body.shape[1])
    _name_line(heading, row, 0, body.shape[1] - _PERCENT_WIDTH, body.shape[1])
    return stacked([heading.pixels, body], _GAP // 4)


def _tinted(
    shade: npt.NDArray[np.uint8],
    ranks: npt.NDArray[np.int32],
    width: int,
    patch: float,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Return the highlighted picture at `width`, lines between its sources, and its ranks."""
    scale = width / ranks.shape[1]
    size = height_at((ranks.shape[0], ranks.shape[1]), width), width
    ranks = resize.resized(ranks, size, nearest=True)
    picture = highlight(resized(shade, width), ranks)
    # Lines around patches of a few pixels would hide what is in them; there the colours must do.
    thickness = min(2, int(patch * scale) // 6)
    picture[_borders(ranks, thickness)] = INK
    return picture, ranks


def _borders(ranks: npt.NDArray[np.int32], thickness: int) -> npt.NDArray[np.bool_]:
    """Return (H, W) bool: the `thickness` last pixels before the rank changes, down and right."""
    border = np.zeros(ranks.shape, dtype=np.bool_)
    for step in range(1, thickness + 1):
        border[:-step] |= ranks[:-step] != ranks[step:]
        border[:, :-step] |= ranks[:, :-step] != ranks[:, step:]
    return border


def _labelled(label: str, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return labelled(label, picture, _DETAIL, _GAP // 4)


def _legend(rows: Sequence[LegendRow], width: int) -> npt.NDArray[np.uint8]:
    """Write a line for each row, with a bar as long as its share of the largest one."""
    line = 2 * _BADGE + 8
    canvas = Canvas(len(rows) * line, width)
    longest = width // 5
    bar_left = width - _PERCENT_WIDTH - longest
    largest = max(row.share for row in rows)
    for number, row in enumerate(rows):
        top = number * line
        _name_line(canvas, row, top, bar_left - _GAP // 2, width)
        colour = OTHERS if row.rank is None else SOURCE_COLOURS[row.rank - 1]
        bar = max(1, round(row.share / largest * longest))
        canvas.fill(top + _BADGE + 3 - _EM // 3, bar_left, 2 * (_EM // 3), bar, colour)
    return canvas.pixels


def _name_line(canvas: Canvas, row: LegendRow, top: int, name_right: int, width: int) -> None:
    """Write rank, name (up to `name_right`) and share (up to `width`)."""
    middle = top + _BADGE + 3
    text_top = middle - round(0.63 * _EM)
    left = 2 * _BADGE + _GAP
    style = _PLAIN
    if row.rank is not None:
        canvas.badge(row.rank, (middle, _BADGE + 3), _BADGE, SOURCE_COLOURS[row.rank - 1])
        style = _NAME
    canvas.text(row.name, text_top, left, style, width=name_right - left)
    canvas.text(row.percent, text_top, width, _PLAIN, align="right")
