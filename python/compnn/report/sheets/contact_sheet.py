"""The contact sheet: one query and its reconstructions layer by layer (paper, Figures 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from compnn.errors import ImageError, LayerError
from compnn.explanation.explanation import Explanation
from compnn.images.kinds import Picture
from compnn.report.facts import layer_title, patch_words
from compnn.report.sheets.canvas import Canvas, overlaid, stacked, with_margin
from compnn.report.sheets.grid import Grid, GridKind, equal_rows
from compnn.report.sheets.legends import is_hatched, legends
from compnn.report.sheets.pictures import inside
from compnn.report.sheets.reconstruction_columns import ReconstructionColumn, reconstruction_columns
from compnn.report.sheets.text import Style

# A README shows about 900 pixels; wider sheets would make their text too small there.
_KIND = GridKind(
    widest=2400, widest_cell=512, em_in_cell=10, em_limits=(16, 34), gap=0.8, margin=1.6
)
_MOST_IN_ONE_ROW = 6
_MOST_COLUMNS = 8


def contact_sheet(
    explanations: Sequence[Explanation],
    *,
    target: Picture | None = None,
    global_output: Picture | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
    title: str = "",
) -> npt.NDArray[np.uint8]:
    """Show one query, what the network made of it, and the reconstructions of several layers.

    The first row holds the input, the network's output (if it has one), the true target and the
    reconstruction without layers (paper, section 3.4). Below is one column for each layer, in the
    order given: the input reconstruction above the output reconstruction. More than six layers take
    several rows. Label maps are painted with their palette, and its classes are listed; values are
    painted in greys, and their scale is shown.

    Parameters
    ----------
    explanations
        Of the same query, one for each layer.
    target
        True target of the query, of the targets' kind and the query's size.
    global_output
        Global reconstruction of the output, likewise.
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
        If a label map holds a label that the targets' palette lacks.
    """
    captions = captions or {}
    heads = _heads(explanations, target, global_output)
    _check_captions(captions, [*heads, *(each.layer.name for each in explanations)])

    rows = _rows(explanations)
    first = explanations[0]
    grid = _KIND.fit(first.layer.image_size, max(len(heads), len(rows[0])))
    legend_left = grid.legend_left(len(heads))
    explained = legends(
        first.input_kind,
        first.target_kind,
        grid.width - legend_left,
        grid.detail.size,
        hatched=is_hatched(explanations),
    )
    is_beside = legend_left > grid.left
    bands = [_title_band(grid, title)] if title else []
    bands.append(_head_band(grid, heads, captions))
    if explained and is_beside:
        legend = stacked(explained, grid.gap)
        bands[-1] = overlaid(bands[-1], legend, _head_top(grid), legend_left)
    bands += [_layer_band(grid, row, captions) for row in rows]
    if explained and not is_beside:
        bands.append(grid.indented(stacked(explained, grid.gap)))
    return with_margin(stacked(bands, round(1.5 * grid.em)), grid.margin)


def _heads(
    explanations: Sequence[Explanation],
    target: Picture | None,
    global_output: Picture | None,
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
    others = {
        "network output": first.network_output,
        "target": target,
        "global reconstruction": global_output,
    }
    heads: dict[str, Picture] = {}
    for name, picture in others.items():
        if picture is None:
            continue
        size = first.layer.output_size
        if picture.shape[:2] != size:
            raise ImageError(
                f"the {name} is {picture.shape[0]}x{picture.shape[1]} (height x width) but outputs "
                f"are {size[0]}x{size[1]}; give one of that size"
            )
        heads[name] = picture
    paint = first.target_kind.paint
    painted = {name: paint(picture) for name, picture in heads.items()}
    return {"input": first.painted_query, **painted}


def _check_captions(captions: Mapping[str, Sequence[str]], shown: Sequence[str]) -> None:
    for name in captions:
        if name not in shown:
            raise LayerError(
                f"there is a caption for {name!r}, which is not on the contact sheet; "
                f"it shows {', '.join(shown)}"
            )


def _rows(explanations: Sequence[Explanation]) -> list[Sequence[Explanation]]:
    count = len(explanations)
    rows = 1 if count <= _MOST_IN_ONE_ROW else max(2, -(-count // _MOST_COLUMNS))
    return equal_rows(explanations, rows)


def _title_band(grid: Grid, title: str) -> npt.NDArray[np.uint8]:
    style = Style(round(1.5 * grid.em), bold=True)
    canvas = Canvas(style.line_height, grid.width)
    canvas.text(title, 0, grid.left, style, width=grid.width - grid.left)
    return canvas.pixels


def _head_band(
    grid: Grid,
    heads: Mapping[str, npt.NDArray[np.uint8]],
    captions: Mapping[str, Sequence[str]],
) -> npt.NDArray[np.uint8]:
    top = _head_top(grid)
    lines = max(len(captions.get(name, ())) for name in heads)
    canvas = Canvas(top + grid.cell[0] + _caption_height(grid, lines), grid.width)
    for index, (name, picture) in enumerate(heads.items()):
        left = grid.column(index)
        canvas.text(name, 0, left, _head_name(grid), width=grid.cell[1])
        canvas.framed(inside(picture, grid.cell), top, left)
        _write_caption(canvas, grid, captions.get(name, ()), top + grid.cell[0], left)
    return canvas.pixels


def _head_top(grid: Grid) -> int:
    return _head_name(grid).line_height + grid.gap // 3


def _head_name(grid: Grid) -> Style:
    # Small enough for "global reconstruction" over a picture of 256 pixels.
    return Style(round(0.88 * grid.em), bold=True)


def _layer_band(
    grid: Grid, row: Sequence[Explanation], captions: Mapping[str, Sequence[str]]
) -> npt.NDArray[np.uint8]:
    columns = [
        ReconstructionColumn(layer_title(each.layer), f"{patch_words(each.layer)} patches", each)
        for each in row
    ]
    lines = max(len(captions.get(each.layer.name, ())) for each in row)
    canvas, bottom = reconstruction_columns(grid, columns, _caption_height(grid, lines))
    for index, each in enumerate(row):
        caption = captions.get(each.layer.name, ())
        _write_caption(canvas, grid, caption, bottom, grid.column(index))
    return canvas.pixels


def _caption_height(grid: Grid, lines: int) -> int:
    return grid.gap // 3 + lines * grid.detail.line_height + 1


def _write_caption(canvas: Canvas, grid: Grid, lines: Sequence[str], top: int, left: int) -> None:
    canvas.lines(lines, top + grid.gap // 3, left, grid.detail, grid.cell[1])
