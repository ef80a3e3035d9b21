"""The control sheet: one query explained with several subsets of the training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compnn.images.kinds import Kind, Labels, Photo
from compnn.report.facts import layer_title, most_changed, patch_words, quantity_scale, signed
from compnn.report.sheets.canvas import Canvas, overlaid, stacked, with_margin
from compnn.report.sheets.colours import MUTED
from compnn.report.sheets.grid import Grid, GridKind, equal_rows
from compnn.report.sheets.legends import is_hatched, legends
from compnn.report.sheets.pictures import inside
from compnn.report.sheets.reconstruction_columns import ReconstructionColumn, reconstruction_columns
from compnn.report.sheets.text import Style
from compnn.studies.control import UNRESTRICTED, Control

# As wide as a contact sheet: a README shows about 900 pixels.
_KIND = GridKind(
    widest=2400, widest_cell=384, em_in_cell=12, em_limits=(15, 32), gap=0.8, margin=1.5
)
_MOST_COLUMNS = 7
_MOST_CLASSES = 5


def control_sheet(control: Control, *, title: str = "") -> npt.NDArray[np.uint8]:
    """Show what the network painted, and what each subset of the training images makes of it.

    The first row holds the query, the network's output and the true target where it is known.
    Below is a column for each subset, the unrestricted one first: the input reconstruction above
    the output reconstruction, the similarity, and the statistics of the output, each with its
    change against the unrestricted one: the mean colour of a photo, the shares of the classes that
    change most, or the mean of values.

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


def _heads(control: Control) -> dict[str, npt.NDArray[np.uint8]]:
    first = control.unrestricted
    paint = first.target_kind.paint
    heads = {"query": first.painted_query}
    if first.network_output is not None:
        heads["network output"] = paint(first.network_output)
    if control.target is not None:
        heads["target"] = paint(control.target)
    return heads


def _title_band(grid: Grid, control: Control, title: str) -> npt.NDArray[np.uint8]:
    layer = control.unrestricted.layer
    style = Style(round(1.4 * grid.em), bold=True)
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
        canvas.framed(inside(picture, grid.cell), top, grid.column(index))
    first, left = control.unrestricted, grid.legend_left(len(heads))
    explained = legends(
        first.input_kind,
        first.target_kind,
        grid.width - left,
        grid.detail.size,
        hatched=is_hatched([first, *control.explanations.values()]),
    )
    if not explained:
        return canvas.pixels
    legend = stacked(explained, grid.gap)
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
    kind: Kind

    @classmethod
    def of(cls, control: Control) -> _Statistics:
        kind = control.unrestricted.target_kind
        where = "" if control.region is None else f" of {control.region}"
        if isinstance(kind, Labels):
            shown = tuple(most_changed(control, _MOST_CLASSES))
            return cls(f"share of {control.region or 'pixels'}", shown, kind)
        what = "mean colour" if isinstance(kind, Photo) else kind.describe()
        return cls(f"{what}{where}", tuple(range(len(control.quantities))), kind)

    def __len__(self) -> int:
        return 1 + len(self.quantities)

    def write(
        self, canvas: Canvas, grid: Grid, control: Control, title: str, top: int, left: int
    ) -> None:
        values, changes = control.statistics[title], control.change(title)
        line, indent = _number(grid).line_height, round(1.4 * grid.em)
        is_photo = isinstance(self.kind, Photo)
        if is_photo:
            _swatch(canvas, grid, top, left, values.round())
        canvas.text(self.heading, top, left + indent * is_photo, _number_name(grid))
        scale, digits = quantity_scale(self.kind)
        for number, quantity in enumerate(self.quantities, start=1):
            name = control.quantities[quantity]
            value = f"{scale * values[quantity]:.{digits}f}"
            change = _change(title, scale * changes[quantity], digits)
            if isinstance(self.kind, Labels):
                value += " %"
                _swatch(
                    canvas, grid, top + number * line, left, self.kind.palette.colours[quantity]
                )
            _write_line(canvas, grid, top + number * line, left, name, value, change, indent=indent)


def _change(title: str, value: float, digits: int) -> str:
    """A change as text; the unrestricted column has none."""
    return "" if title == UNRESTRICTED else signed(value, digits)


def _swatch(
    canvas: Canvas, grid: Grid, top: int, left: int, colour: npt.NDArray[np.generic]
) -> None:
    size = _number(grid).size
    red, green, blue = map(int, colour.tolist())
    canvas.swatch(top + round(0.15 * size), left, size, (red, green, blue))


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
