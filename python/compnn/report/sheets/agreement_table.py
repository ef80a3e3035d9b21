"""The classes of patches against the classes of their matches, as a small table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from compnn.report.sheets.canvas import Canvas
from compnn.report.sheets.class_colours import ClassColours
from compnn.report.sheets.colours import HAIRLINE, INK, MUTED, OTHERS, Colour, ink_on
from compnn.report.sheets.text import Style, shorten, text_width
from compnn.studies.matching import Matching

_MOST_CLASSES = 12
# The colour of a cell of 100 %; cells of less are mixed with white.
_FULL: Colour = (0, 90, 150)

_Group = Sequence[int]


def agreement_table(
    matching: Matching, colours: ClassColours, width: int, size: int
) -> npt.NDArray[np.uint8]:
    """Draw where the patches of each class of A are matched to, in percent of the row.

    The last row has the shares of the classes in B: what blind matches would give in every row.
    The twelve classes of most patches are shown, the others taken together.

    Returns
    -------
    (h, `width`, 3) uint8 RGB, in font size `size`.
    """
    return _Table(matching, colours, width, size).draw()


class _Table:
    def __init__(self, matching: Matching, colours: ClassColours, width: int, size: int) -> None:
        in_a, in_b = matching.class_counts()
        shown = set(np.argsort(-(in_a + in_b), kind="stable")[:_MOST_CLASSES].tolist())
        self._rows, self._columns = _groups(in_a, shown), _groups(in_b, shown)
        self._in_a = [int(in_a[group].sum()) for group in self._rows]
        self._in_b = [int(in_b[group].sum()) for group in self._columns]
        self._counts = [
            [int(matching.agreement[np.ix_(row, column)].sum()) for column in self._columns]
            for row in self._rows
        ]
        self._class_names = matching.class_names
        self._colours = colours
        self._width = width
        self._plain, self._bold = Style(size), Style(size, bold=True)
        self._note = Style(size, colour=MUTED)
        # Names are written beside the rows and, upward, above the columns.
        names = [self._name(group) for group in (*self._rows, *self._columns)]
        widest = max((text_width(name, self._plain) for name in names), default=0)
        self._name_width = max(4 * size, min(widest, width // 4))
        self._name_left = round(1.6 * size)
        self._left = self._name_left + self._name_width + 4 * size
        self._top = 2 * self._note.line_height + self._name_width + round(2.4 * size)
        self._line = round(1.75 * size)
        self._cell_width = min((width - self._left) // max(1, len(self._columns)), 4 * size)

    def draw(self) -> npt.NDArray[np.uint8]:
        bottom = self._top + len(self._rows) * self._line + self._plain.size // 2
        canvas = Canvas(bottom + self._line, self._width)
        canvas.text("class agreement", 0, 0, self._bold, width=self._width)
        words = "% of the patches of each class in A (row), by the class of their match in B"
        canvas.text(words, self._note.line_height, 0, self._note, width=self._width)
        self._column_heads(canvas)
        for number, group in enumerate(self._rows):
            top = self._top + number * self._line
            self._row_head(canvas, top, group, self._in_a[number])
            total = sum(self._counts[number])
            for column, count in enumerate(self._counts[number]):
                if total:
                    same = group == self._columns[column]
                    self._cell(canvas, top, column, count / total, same=same)
        self._last_row(canvas, bottom)
        return canvas.pixels

    def _name(self, group: _Group) -> str:
        return self._class_names[group[0]] if len(group) == 1 else f"{len(group)} others"

    def _column_heads(self, canvas: Canvas) -> None:
        size = self._plain.size
        base = self._top - round(0.5 * size)
        canvas.text("of A", base - size, self._left - size // 2, self._note, align="right")
        for column, group in enumerate(self._columns):
            left = self._left + column * self._cell_width
            self._swatch(canvas, base - size, left + (self._cell_width - size) // 2, group)
            name = shorten(self._name(group), self._plain, self._name_width)
            word = Canvas(self._plain.line_height, text_width(name, self._plain) + 2)
            word.text(name, 0, 1, self._plain)
            upward = np.rot90(word.pixels)[: self._name_width]
            name_left = left + (self._cell_width - self._plain.line_height) // 2
            canvas.paste(upward, base - round(1.4 * size) - upward.shape[0], max(0, name_left))

    def _row_head(self, canvas: Canvas, top: int, group: _Group, count: int) -> None:
        size = self._plain.size
        self._swatch(canvas, top + (self._line - size) // 2, 1, group)
        text_top = self._text_top(top)
        name = self._name(group)
        canvas.text(name, text_top, self._name_left, self._plain, width=self._name_width)
        share = _percent(count / sum(self._in_a))
        canvas.text(share, text_top, self._left - size // 2, self._note, align="right")

    def _cell(self, canvas: Canvas, top: int, column: int, share: float, *, same: bool) -> None:
        left = self._left + column * self._cell_width
        red, green, blue = (round(full * share + 255 * (1 - share)) for full in _FULL)
        edge = 2 if same else 1
        canvas.fill(top, left, self._line, self._cell_width, INK if same else HAIRLINE)
        inner = self._line - 2 * edge, self._cell_width - 2 * edge
        canvas.fill(top + edge, left + edge, *inner, (red, green, blue))
        style = Style(self._plain.size, bold=same, colour=ink_on((red, green, blue)))
        self._write_share(canvas, share, top, column, style)

    def _last_row(self, canvas: Canvas, top: int) -> None:
        right = self._left + len(self._columns) * self._cell_width
        canvas.fill(top - self._plain.size // 4, 0, 1, right, HAIRLINE)
        canvas.text("all of B", self._text_top(top), self._name_left, self._note)
        for column, count in enumerate(self._in_b):
            self._write_share(canvas, count / sum(self._in_b), top, column, self._note)

    def _write_share(
        self, canvas: Canvas, share: float, top: int, column: int, style: Style
    ) -> None:
        if share > 0:
            text = _percent(share)
            middle = self._left + column * self._cell_width + self._cell_width // 2
            left = middle - text_width(text, style) // 2
            canvas.text(text, self._text_top(top), left, style)

    def _swatch(self, canvas: Canvas, top: int, left: int, group: _Group) -> None:
        colour = self._colours[group[0]] if len(group) == 1 else OTHERS
        canvas.swatch(top, left, self._plain.size, colour)

    def _text_top(self, top: int) -> int:
        return top + (self._line - self._plain.line_height) // 2


def _groups(counts: npt.NDArray[np.int64], shown: set[int]) -> list[_Group]:
    """The classes that occur: each shown one by itself, the others together at the end."""
    present = np.flatnonzero(counts).tolist()
    others = [label for label in present if label not in shown]
    groups: list[_Group] = [[label] for label in present if label in shown]
    return [*groups, others] if others else groups


def _percent(share: float) -> str:
    """Whole percent; only a share of 0 is "0", and only one of 1 is "100"."""
    if 0 < share < 0.005:
        return "<1"
    if 0.995 <= share < 1:
        return ">99"
    return f"{100 * share:.0f}"
