"""The control sheet: one query explained with several subsets of the training images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from compnn.control import UNRESTRICTED, Control
from compnn.report.canvas import Canvas, stacked, with_margin
from compnn.report.colours import HAIRLINE, MUTED, Colour
from compnn.report.layer_words import layer_title, patch_words
from compnn.report.palette_legend import palette_legend
from compnn.report.pictures import height_at, resized
from compnn.report.text import BOLD, Style

if TYPE_CHECKING:
    from compnn.palette import Palette

# As wide as a contact sheet: a README shows about 900 pixels.
_WIDEST = 2400
_WIDEST_CELL = 384
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
    rows = _rows(list(control.explanations))
    heads = _heads(control)
    grid = _Grid.of(control.unrestricted.layer.image_size, max(len(rows[0]), len(heads)))
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


@dataclass(frozen=True)
class _Grid:
    """Equal columns right of a strip with the names of the rows; all distances follow `em`."""

    columns: int
    cell: tuple[int, int]

    @classmethod
    def of(cls, image_size: tuple[int, int], columns: int) -> _Grid:
        """Fit the columns: pictures enlarged by a whole factor, or else reduced."""
        widths = _cell_widths(image_size[1])
        grids = (cls(columns, (height_at(image_size, width), width)) for width in widths)
        return next(grid for grid in grids if grid.width + 2 * grid.margin <= _WIDEST)

    @property
    def em(self) -> int:
        return min(32, max(15, self.cell[1] // 12))

    @property
    def gap(self) -> int:
        return round(0.8 * self.em)

    @property
    def margin(self) -> int:
        return round(1.5 * self.em)

    @property
    def left(self) -> int:
        return round(1.6 * self.em)

    @property
    def width(self) -> int:
        return self.column(self.columns) - self.gap + 1

    def column(self, index: int) -> int:
        return self.left + index * (self.cell[1] + self.gap)

    @property
    def title(self) -> Style:
        return Style(round(1.4 * self.em), BOLD)

    @property
    def name(self) -> Style:
        return Style(self.em, BOLD)

    @property
    def detail(self) -> Style:
        return Style(round(0.85 * self.em), colour=MUTED)

    @property
    def number(self) -> Style:
        # Small enough for a name, a share and its change below a picture of 256 pixels.
        return Style(round(0.75 * self.em))

    @property
    def number_name(self) -> Style:
        return Style(self.number.size, colour=MUTED)


def _cell_widths(natural: int) -> Iterator[int]:
    for factor in range(max(1, _WIDEST_CELL // natural), 0, -1):
        yield factor * natural
    yield from range(min(natural - 1, _WIDEST), 0, -1)


def _rows(titles: Sequence[str]) -> list[Sequence[str]]:
    """Divide the subsets into rows of equal length; the last may be shorter."""
    rows = -(-len(titles) // _MOST_COLUMNS)
    length = -(-len(titles) // rows)
    return [titles[start : start + length] for start in range(0, len(titles), length)]


def _heads(control: Control) -> dict[str, npt.NDArray[np.uint8]]:
    first = control.unrestricted
    heads = {"query": first.query, "network output": first.painted(first.network_output)}
    if control.target is not None:
        heads["target"] = first.painted(control.target)
    return heads


def _title_band(grid: _Grid, control: Control, title: str) -> npt.NDArray[np.uint8]:
    layer = control.unrestricted.layer
    canvas = Canvas(grid.title.line_height + grid.detail.line_height, grid.width)
    room = grid.width - grid.left
    heading = f"{title}: {layer_title(layer)}" if title else layer_title(layer)
    canvas.text(heading, 0, grid.left, grid.title, width=room)
    words = f"{patch_words(layer)} patches, restricted to subsets of the training images"
    canvas.text(words, grid.title.line_height, grid.left, grid.detail, width=room)
    return canvas.pixels


def _head_band(
    grid: _Grid, control: Control, heads: dict[str, npt.NDArray[np.uint8]]
) -> npt.NDArray[np.uint8]:
    top = grid.name.line_height + grid.gap // 3
    canvas = Canvas(top + grid.cell[0] + 1, grid.width)
    for index, (name, picture) in enumerate(heads.items()):
        canvas.text(name, 0, grid.column(index), grid.name, width=grid.cell[1])
        canvas.framed(resized(picture, grid.cell[1]), top, grid.column(index))
    # Right of the pictures where there is room for two columns, else below.
    is_beside = grid.columns >= len(heads) + 2
    left = grid.column(len(heads)) if is_beside else grid.left
    legend = _legend(grid, control, grid.width - left)
    if legend is None:
        return canvas.pixels
    if not is_beside:
        indented = Canvas(legend.shape[0], grid.width)
        indented.paste(legend, 0, left)
        return stacked([canvas.pixels, indented.pixels], grid.em)
    both = Canvas(max(canvas.pixels.shape[0], top + legend.shape[0]), grid.width)
    both.paste(canvas.pixels, 0, 0)
    both.paste(legend, top, left)
    return both.pixels


def _legend(grid: _Grid, control: Control, width: int) -> npt.NDArray[np.uint8] | None:
    """The classes of the label maps; None where there are only photos."""
    first = control.unrestricted
    palettes = {"input classes": first.input_palette, "output classes": first.target_palette}
    if first.input_palette == first.target_palette:
        palettes = {"classes": first.target_palette}
    shown = {heading: each for heading, each in palettes.items() if each is not None}
    if not shown:
        return None
    size = grid.detail.size
    return stacked(
        [palette_legend(heading, each, width, size) for heading, each in shown.items()], grid.gap
    )


def _subset_band(
    grid: _Grid, control: Control, titles: Sequence[str], statistics: _Statistics
) -> npt.NDArray[np.uint8]:
    input_top = grid.name.line_height + grid.detail.line_height + grid.gap // 3
    output_top = input_top + grid.cell[0] + grid.gap // 2
    caption_top = output_top + grid.cell[0] + grid.gap // 2
    height = caption_top + (2 + len(statistics)) * grid.number.line_height + grid.gap // 2
    canvas = Canvas(height, grid.width)
    canvas.upward_text("input reconstruction", input_top, 0, grid.cell[0], grid.detail)
    canvas.upward_text("output reconstruction", output_top, 0, grid.cell[0], grid.detail)
    for index, title in enumerate(titles):
        explanation, left = control.explanations[title], grid.column(index)
        canvas.text(title, 0, left, grid.name, width=grid.cell[1])
        count = f"{control.images[title]} image{'s' * (control.images[title] != 1)}"
        if len(explanation.candidates) < control.images[title]:
            count = f"{len(explanation.candidates)} nearest of {count}"
        canvas.text(count, grid.name.line_height, left, grid.detail, width=grid.cell[1])
        canvas.framed(resized(explanation.input, grid.cell[1]), input_top, left)
        output = resized(explanation.painted(explanation.output), grid.cell[1])
        canvas.framed(output, output_top, left)
        similarity = f"{control.scores[title].similarity:.3f}"
        change = _change(title, control.similarity_change(title), 3)
        _write_line(canvas, grid, caption_top, left, "similarity", similarity, change)
        top = caption_top + grid.number.line_height + grid.gap // 2
        statistics.write(canvas, grid, control, title, top, left)
    return canvas.pixels


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
        self, canvas: Canvas, grid: _Grid, control: Control, title: str, top: int, left: int
    ) -> None:
        values, changes = control.statistics[title], control.change(title)
        line = grid.number.line_height
        if self.palette is None:
            red, green, blue = (int(each) for each in values.round())
            _swatch(canvas, grid, top, left, (red, green, blue))
        indent = round(1.4 * grid.em)
        canvas.text(
            self.heading, top, left + (indent if self.palette is None else 0), grid.number_name
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


def _swatch(canvas: Canvas, grid: _Grid, top: int, left: int, colour: Colour) -> None:
    size = grid.number.size
    offset = round(0.15 * size)
    canvas.fill(top + offset - 1, left - 1, size + 2, size + 2, HAIRLINE)
    canvas.fill(top + offset, left, size, size, colour)


def _write_line(
    canvas: Canvas,
    grid: _Grid,
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
    canvas.text(name, top, left + indent, grid.number_name, width=round(0.54 * width) - indent)
    canvas.text(value, top, value_right, grid.number, align="right")
    canvas.text(change, top, right, grid.number_name, align="right")
