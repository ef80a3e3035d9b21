"""The contact sheet: one query and its reconstructions layer by layer (paper, Figures 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError, LayerError
from compnn.report.canvas import Canvas, stacked, with_margin
from compnn.report.colours import MUTED
from compnn.report.layer_words import layer_title, patch_words
from compnn.report.palette_legend import palette_legend
from compnn.report.pictures import height_at, resized
from compnn.report.text import BOLD, Style

if TYPE_CHECKING:
    from compnn.explanation import Explanation

# A README shows about 900 pixels; wider sheets would make their text too small there.
_WIDEST = 2400
_WIDEST_CELL = 512
_MOST_IN_ONE_ROW = 6
_MOST_COLUMNS = 8


def contact_sheet(
    explanations: Sequence[Explanation],
    *,
    target: npt.NDArray[np.uint8] | None = None,
    global_output: npt.NDArray[np.uint8] | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
    title: str = "",
) -> npt.NDArray[np.uint8]:
    """Show one query, what the network made of it, and the reconstructions of several layers.

    The first row holds the input, the network's output, the true target and the reconstruction
    without layers (paper, section 3.4). Below is one column for each layer, in the order given:
    the input reconstruction above the output reconstruction. More than six layers take several
    rows. Label maps are painted with their palette, and its classes are listed.

    Parameters
    ----------
    explanations
        Of the same query, one for each layer.
    target
        True target of the query: photo (H, W, 3) uint8 or label map (H, W) uint8.
    global_output
        Global reconstruction of the output, of the same kind.
    captions
        Lines of text by the name of the layer; they stand under its column. `"input"`,
        `"network output"`, `"target"` and `"global reconstruction"` caption the first row.
    title
        Heading of the sheet.

    Returns
    -------
    (height, width, 3) uint8 RGB, at most 2400 pixels wide.

    Raises
    ------
    LayerError
        If there is no explanation, or a caption is for a layer that is not shown.
    ImageError
        If the explanations are not of the same query, or `target` or `global_output` has another
        size.
    PaletteError
        If a label map holds a label that the target palette lacks.
    """
    captions = captions or {}
    heads = _heads(explanations, target, global_output)
    _check_captions(captions, [*heads, *(each.layer.name for each in explanations)])

    rows = _rows(explanations)
    grid = _Grid.of(explanations[0].layer.image_size, max(len(heads), len(rows[0])))
    bands = [_title_band(grid, title)] if title else []
    legend = _legend_band(grid, explanations[0], grid.columns - len(heads))
    head = _head_band(grid, heads, captions)
    if legend is not None and grid.columns - len(heads) >= 2:
        head = _right_of_heads(grid, head, len(heads), legend)
        legend = None
    bands.append(head)
    bands += [_layer_band(grid, row, captions) for row in rows]
    if legend is not None:
        bands.append(legend)
    return with_margin(stacked(bands, round(1.5 * grid.em)), grid.margin)


@dataclass(frozen=True)
class _Grid:
    """Where things are on the sheet: equal columns right of a strip with the names of the rows.

    All distances are multiples of the font size `em`, which grows with the pictures.
    """

    columns: int
    cell: tuple[int, int]

    @classmethod
    def of(cls, image_size: tuple[int, int], columns: int) -> _Grid:
        """Fit `columns` pictures of `image_size`: enlarged by a whole factor, or else reduced."""
        grids = (cls(columns, (height_at(image_size, w), w)) for w in _cell_widths(image_size[1]))
        return next(grid for grid in grids if grid.width + 2 * grid.margin <= _WIDEST)

    @property
    def em(self) -> int:
        return min(34, max(16, self.cell[1] // 10))

    @property
    def gap(self) -> int:
        return round(0.8 * self.em)

    @property
    def margin(self) -> int:
        return round(1.6 * self.em)

    @property
    def left(self) -> int:
        """Width of the strip, and so the left edge of the first column."""
        return round(1.6 * self.em)

    @property
    def width(self) -> int:
        return self.column(self.columns) - self.gap + 1

    def column(self, index: int) -> int:
        return self.left + index * (self.cell[1] + self.gap)

    @property
    def name(self) -> Style:
        return Style(self.em, BOLD)

    @property
    def head_name(self) -> Style:
        # Small enough for "global reconstruction" over a picture of 256 pixels.
        return Style(round(0.88 * self.em), BOLD)

    @property
    def detail(self) -> Style:
        return Style(round(0.85 * self.em), colour=MUTED)


def _cell_widths(natural: int) -> Iterator[int]:
    for factor in range(max(1, _WIDEST_CELL // natural), 0, -1):
        yield factor * natural
    yield from range(min(natural - 1, _WIDEST), 0, -1)


def _heads(
    explanations: Sequence[Explanation],
    target: npt.NDArray[np.uint8] | None,
    global_output: npt.NDArray[np.uint8] | None,
) -> dict[str, npt.NDArray[np.uint8]]:
    """Return the painted pictures of the first row by their names."""
    if not explanations:
        raise LayerError("a contact sheet needs the explanation of at least one layer; none given")
    first = explanations[0]
    for other in explanations[1:]:
        if not np.array_equal(first.query, other.query):
            raise ImageError(
                f"a contact sheet shows one query, but the explanations of {first.layer.name!r} "
                f"and {other.layer.name!r} have different ones; make a sheet for each query"
            )
    heads = {"input": first.query, "network output": first.network_output}
    for name, picture in {"target": target, "global reconstruction": global_output}.items():
        if picture is None:
            continue
        if picture.shape[:2] != first.query.shape[:2]:
            raise ImageError(
                f"the {name} is {picture.shape[0]}x{picture.shape[1]} (height x width) but the "
                f"query is {first.query.shape[0]}x{first.query.shape[1]}; give one of that size"
            )
        heads[name] = picture
    return {name: first.painted(picture) for name, picture in heads.items()}


def _check_captions(captions: Mapping[str, Sequence[str]], shown: Sequence[str]) -> None:
    for name in captions:
        if name not in shown:
            raise LayerError(
                f"there is a caption for {name!r}, which is not on the contact sheet; "
                f"it shows {', '.join(shown)}"
            )


def _rows(explanations: Sequence[Explanation]) -> list[Sequence[Explanation]]:
    """Divide the layers into rows of equal length; the last may be shorter."""
    count = len(explanations)
    rows = 1 if count <= _MOST_IN_ONE_ROW else max(2, -(-count // _MOST_COLUMNS))
    length = -(-count // rows)
    return [explanations[start : start + length] for start in range(0, count, length)]


def _title_band(grid: _Grid, title: str) -> npt.NDArray[np.uint8]:
    style = Style(round(1.5 * grid.em), BOLD)
    canvas = Canvas(style.line_height, grid.width)
    canvas.text(title, 0, grid.left, style, width=grid.width - grid.left)
    return canvas.pixels


def _head_band(
    grid: _Grid,
    heads: Mapping[str, npt.NDArray[np.uint8]],
    captions: Mapping[str, Sequence[str]],
) -> npt.NDArray[np.uint8]:
    top = _head_top(grid)
    lines = max(len(captions.get(name, ())) for name in heads)
    canvas = Canvas(top + grid.cell[0] + _caption_height(grid, lines), grid.width)
    for index, (name, picture) in enumerate(heads.items()):
        left = grid.column(index)
        canvas.text(name, 0, left, grid.head_name, width=grid.cell[1])
        canvas.framed(resized(picture, grid.cell[1]), top, left)
        _write_caption(canvas, grid, captions.get(name, ()), top + grid.cell[0], left)
    return canvas.pixels


def _head_top(grid: _Grid) -> int:
    return grid.head_name.line_height + grid.gap // 3


def _layer_band(
    grid: _Grid, row: Sequence[Explanation], captions: Mapping[str, Sequence[str]]
) -> npt.NDArray[np.uint8]:
    input_top = grid.name.line_height + grid.detail.line_height + grid.gap // 3
    output_top = input_top + grid.cell[0] + grid.gap // 2
    bottom = output_top + grid.cell[0]
    lines = max(len(captions.get(each.layer.name, ())) for each in row)
    canvas = Canvas(bottom + _caption_height(grid, lines), grid.width)
    canvas.upward_text("input reconstruction", input_top, 0, grid.cell[0], grid.detail)
    canvas.upward_text("output reconstruction", output_top, 0, grid.cell[0], grid.detail)
    for index, each in enumerate(row):
        left = grid.column(index)
        canvas.text(layer_title(each.layer), 0, left, grid.name, width=grid.cell[1])
        patch = f"{patch_words(each.layer)} patches"
        canvas.text(patch, grid.name.line_height, left, grid.detail, width=grid.cell[1])
        canvas.framed(resized(each.input, grid.cell[1]), input_top, left)
        canvas.framed(resized(each.painted(each.output), grid.cell[1]), output_top, left)
        _write_caption(canvas, grid, captions.get(each.layer.name, ()), bottom, left)
    return canvas.pixels


def _caption_height(grid: _Grid, lines: int) -> int:
    return grid.gap // 3 + lines * grid.detail.line_height + 1


def _write_caption(canvas: Canvas, grid: _Grid, lines: Sequence[str], top: int, left: int) -> None:
    for number, line in enumerate(lines):
        line_top = top + grid.gap // 3 + number * grid.detail.line_height
        canvas.text(line, line_top, left, grid.detail, width=grid.cell[1])


def _legend_band(grid: _Grid, first: Explanation, free: int) -> npt.NDArray[np.uint8] | None:
    """Return the classes of the label maps, for the free columns or, if too few, all columns."""
    palettes = {"input classes": first.input_palette, "output classes": first.target_palette}
    if first.input_palette == first.target_palette:
        palettes = {"classes": first.target_palette}
    left = grid.column(grid.columns - free) if free >= 2 else grid.left
    legends = [
        palette_legend(heading, palette, grid.width - left, grid.detail.size)
        for heading, palette in palettes.items()
        if palette is not None
    ]
    if not legends:
        return None
    legend = stacked(legends, grid.gap)
    indent = Canvas(legend.shape[0], grid.width)
    indent.paste(legend, 0, left)
    return indent.pixels


def _right_of_heads(
    grid: _Grid, head: npt.NDArray[np.uint8], heads: int, legend: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Put the legend into the free columns of the first row, its top at that of the pictures."""
    top = _head_top(grid)
    left = grid.column(heads)
    canvas = Canvas(max(head.shape[0], top + legend.shape[0]), grid.width)
    canvas.paste(head, 0, 0)
    canvas.paste(legend[:, left:], top, left)
    return canvas.pixels
