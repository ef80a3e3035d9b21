"""The control sheet: one query explained with several subsets of the training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from compnn.report.sheets.canvas import Canvas, overlaid, stacked, with_margin
from compnn.report.sheets.colours import MUTED, Colour
from compnn.report.sheets.grid import Grid, GridKind, equal_rows
from compnn.report.sheets.layer_words import layer_title, patch_words
from compnn.report.sheets.palette_legend import palette_legends
from compnn.report.sheets.pictures import resized
from compnn.report.sheets.reconstruction_columns import ReconstructionColumn, reconstruction_columns
from compnn.report.sheets.text import BOLD, Style
from compnn.studies.control import UNRESTRICTED, Control

if TYPE_CHECKING:
    from compnn.images.palette import Palette

# As wide as a contact sheet: a README shows about 900 pixels.
_KIND = GridKind(
    widest=2400, widest_cell=384, em_in_cell=12, em_limits=(15, 32), gap=0.8, margin=1.5
)
_MOST_COLUMNS = 7
_MOST_CLASSES = 5
_MINUS = "\N{MINUS SIGN}"


def control_sheet(control: Control, *, title: str = "") -> npt.NDArray[np.uint8]:
    """Show what the network painted, and what each subset of the training images makes of it.

    The first row holds the query, the network's output and the true target where it is known.
    Below is a column for each subset, the unrestricted one first: the input reconstruction above
    the output reconstruction, the similarity, and the statistics of the output, each with its
    change against the unrestricted one: the mean colour of a photo, or the shares of the classes
    that change most.

    Parameters
    ----------
    control
        The explanations; more than seven take several rows.
    title
        Heading of the sheet.

    Returns
    -------
    (height, width, 3) uint8 RGB, at most 2400 pixels wide.
    """
    titles = list(control.explanations)
    rows = equal_rows(titles, -(-len(titles) // _MOST_COLUMNS))
    heads = _heads(control)
    grid = _KIND.fit(control.unrestricted.layer.image_size, max(len(rows[0]), len(heads)))
    lines = _Statistics.of(control)
    bands = [_title_band(grid, control, title), _head_band(grid, control, heads)]
    bands += [_subset_band(grid, control, row, lines) for row in rows]
    return with_margin(stacked(bands, round(1.4 * grid.em)), grid.margin)


def signed(value: float, digits: int) -> str:
    """A change as text with its sign, a true minus; what rounds to zero is `±0`."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return "±0"
    return ("+" if value > 0 else _MINUS) + text


def most_changed(control: Control, count: int) -> list[int]:
    """The classes, ascending, whose shares differ most between the subsets."""
    changes = np.max([np.abs(control.change(title)) for title in control.explanations], axis=0)
    order = np.argsort(-changes, kind="stable")[:count]
    return sorted(int(each) for each in order if changes[each] > 0 or each == order[0])


def _heads(control: Control) -> dict[str, npt.NDArray[np.uint8]]:
    first = control.unrestricted
    heads = {"query": first.query, "network output": first.painted(first.network_output)}
    if control.target is not None:
        heads["target"] = first.painted(control.target)
    return heads


def _title_band(grid: Grid, control: Control, title: str) -> npt.NDArray[np.uint8]:
    layer = control.unrestricted.layer
    style = Style(round(1.4 * grid.em), BOLD)
    canvas = Canvas(style.line_height + grid.detail.line_height, grid.width)
    room = grid.width - grid.left
    heading = f"{title}: {layer_title(layer)}" if title else layer_title(layer)
    canvas.text(heading, 0, grid.left, style, width=room)
    words = f"{patch_words(layer)} patches, restricted to subsets of the training images"
    canvas.text(words, style.line_height, grid.left, grid.detail, width=room)
    return canvas.pixels


def _head_band(
    grid: Grid, control: Control, heads: dict[str, npt.NDArray[np.uint8]]
) -> npt.NDArray[np.uint8]:
    top = grid.name.line_height + grid.gap // 3
    canvas = Canvas(top + grid.cell[0] + 1, grid.width)
    for index, (name, picture) in enumerate(heads.items()):
        canvas.text(name, 0, grid.column(index), grid.name, width=grid.cell[1])
        canvas.framed(resized(picture, grid.cell[1]), top, grid.column(index))
    first, left = control.unrestricted, grid.legend_left(len(heads))
    legends = palette_legends(
        first.input_palette, first.target_palette, grid.width - left, grid.detail.size
    )
    if not legends:
        return canvas.pixels
    legend = stacked(legends, grid.gap)
    if left > grid.left:
        return overlaid(canvas.pixels, legend, top, left)
    return stacked([canvas.pixels, grid.indented(legend)], grid.em)


def _subset_band(
    grid: Grid, control: Control, titles: Sequence[str], statistics: _Statistics
) -> npt.NDArray[np.uint8]:
    columns = [
        ReconstructionColumn(title, _count(control, title), control.explanations[title])
        for title in titles
    ]
    line, gap = _number(grid).line_height, grid.gap // 2
    below = gap + (2 + len(statistics)) * line + gap
    canvas, bottom = reconstruction_columns(grid, columns, below)
    for index, title in enumerate(titles):
        left = grid.column(index)
        similarity = f"{control.scores[title].similarity:.3f}"
        change = _change(title, control.similarity_change(title), 3)
        _write_line(canvas, grid, bottom + gap, left, "similarity", similarity, change)
        statistics.write(canvas, grid, control, title, bottom + gap + line + gap, left)
    return canvas.pixels


def _count(control: Control, title: str) -> str:
    """How many images the subset has, and how many of them were searched."""
    count = f"{control.images[title]} image{'s' * (control.images[title] != 1)}"
    searched = len(control.explanations[title].candidates)
    return f"{searched} nearest of {count}" if searched < control.images[title] else count


@dataclass(frozen=True)
class _Statistics:
    """The lines about the statistics below each subset: one for each quantity that is shown."""

    heading: str
    quantities: tuple[int, ...]
    palette: Palette | None

    @classmethod
    def of(cls, control: Control) -> _Statistics:
        palette = control.unrestricted.target_palette
        where = "" if control.region is None else f" of {control.region}"
        if palette is None:
            return cls(f"mean colour{where}", (0, 1, 2), None)
        return cls(
            f"share of {control.region or 'pixels'}",
            tuple(most_changed(control, _MOST_CLASSES)),
            palette,
        )

    def __len__(self) -> int:
        return 1 + len(self.quantities)

    def write(
        self, canvas: Canvas, grid: Grid, control: Control, title: str, top: int, left: int
    ) -> None:
        values, changes = control.statistics[title], control.change(title)
        line = _number(grid).line_height
        if self.palette is None:
            red, green, blue = (int(each) for each in values.round())
            _swatch(canvas, grid, top, left, (red, green, blue))
        indent = round(1.4 * grid.em)
        canvas.text(
            self.heading, top, left + (indent if self.palette is None else 0), _number_name(grid)
        )
        for number, quantity in enumerate(self.quantities, start=1):
            name = control.quantities[quantity]
            if self.palette is None:
                value, change = f"{values[quantity]:.0f}", _change(title, changes[quantity], 0)
            else:
                value = f"{100 * values[quantity]:.1f} %"
                change = _change(title, 100 * changes[quantity], 1)
                red, green, blue = (int(each) for each in self.palette.colours[quantity])
                _swatch(canvas, grid, top + number * line, left, (red, green, blue))
            _write_line(canvas, grid, top + number * line, left, name, value, change, indent=indent)


def _change(title: str, value: float, digits: int) -> str:
    """A change as text; the unrestricted column has none."""
    return "" if title == UNRESTRICTED else signed(value, digits)


def _swatch(canvas: Canvas, grid: Grid, top: int, left: int, colour: Colour) -> None:
    size = _number(grid).size
    canvas.swatch(top + round(0.15 * size), left, size, colour)


def _number(grid: Grid) -> Style:
    # Small enough for a name, a share and its change below a picture of 256 pixels.
    return Style(round(0.75 * grid.em))


def _number_name(grid: Grid) -> Style:
    return Style(_number(grid).size, colour=MUTED)


def _write_line(
    canvas: Canvas,
    grid: Grid,
    top: int,
    left: int,
    name: str,
    value: str,
    change: str,
    *,
    indent: int = 0,
) -> None:
    """Write a quantity, its value, and its change, each in a column of its own."""
    width = grid.cell[1]
    right = left + width
    value_right = right - round(0.27 * width)
    canvas.text(name, top, left + indent, _number_name(grid), width=round(0.54 * width) - indent)
    canvas.text(value, top, value_right, _number(grid), align="right")
    canvas.text(change, top, right, _number_name(grid), align="right")
