"""The grid of reconstructions: a row for each query, a column for each layer (Figures 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from compnn.errors import LayerError
from compnn.explanation.explanation import Explanation
from compnn.explanation.scores import Scores
from compnn.images.kinds import Photo, Picture
from compnn.images.measures import Score
from compnn.report.facts import MEASURES, layer_title, patch_words
from compnn.report.sheets.canvas import Canvas, stacked, with_margin
from compnn.report.sheets.grid import Grid, GridKind, equal_rows
from compnn.report.sheets.legends import legends
from compnn.report.sheets.pictures import inside
from compnn.report.sheets.text import Style, text_width

Side = Literal["input", "output"]
"""Which reconstructions are shown."""

_KIND = GridKind(widest=2600, widest_cell=480, em_in_cell=10, em_limits=(15, 30), gap=0.7, margin=1)
_MOST_LAYERS_IN_ONE_BLOCK = 8
# Over several images an accuracy is the paper's MPA.
_MEASURES = {**MEASURES, "accuracy": "MPA"}


@dataclass(frozen=True)
class GridRow:
    """One query of the grid.

    Attributes
    ----------
    name
        What the query is called.
    explanations
        Of the query, one for each layer, in the order of the columns; at least one.
    scores
        What is measured of each of them.
    target
        True target of the query, of the targets' kind and the query's size, if known.
    """

    name: str
    explanations: Sequence[Explanation]
    scores: Sequence[Scores]
    target: Picture | None = None


def reconstruction_grid(
    rows: Sequence[GridRow], side: Side, *, note: str = ""
) -> npt.NDArray[np.uint8]:
    """Show the input or the output reconstructions of several queries, layer by layer.

    On the left of each row is the query; with output reconstructions also its target, if all rows
    have one, and the network's output. Then comes a column for each layer, with the mean
    similarity and the measure under each picture: of inputs against the query, of outputs against
    the target (without one, against the network's output). More than eight layers take several
    blocks of columns, below each other.

    Parameters
    ----------
    rows
        The queries, of one bank and with the same layers.
    side
        Which reconstructions.
    note
        A sentence at the foot, such as what was searched.

    Returns
    -------
    (height, width, 3) uint8 RGB, at most 2600 pixels wide.

    Raises
    ------
    LayerError
        If there is no row, or the rows do not have the same layers.
    """
    _check(rows)
    first = rows[0].explanations[0]
    leads = [_leads(row, side, all(each.target is not None for each in rows)) for row in rows]
    layers = range(len(rows[0].explanations))
    blocks = equal_rows(layers, -(-len(layers) // _MOST_LAYERS_IN_ONE_BLOCK))
    grid = _KIND.fit(first.layer.image_size, len(leads[0]) + len(blocks[0]))
    bands = [_block_band(grid, rows, leads, side, block) for block in blocks]
    bands.append(_foot(grid, rows, side, note))
    return with_margin(stacked(bands, grid.gap), grid.margin)


@dataclass(frozen=True)
class _Picture:
    """A picture with a title for its column, and the lines under it."""

    title: str
    detail: str
    pixels: npt.NDArray[np.uint8]
    caption: tuple[str, ...]


def _check(rows: Sequence[GridRow]) -> None:
    if not rows or not rows[0].explanations:
        raise LayerError("a grid of reconstructions needs at least one query and one layer")
    layers = [[each.layer.name for each in row.explanations] for row in rows]
    for row, names in zip(rows, layers, strict=True):
        if names != layers[0]:
            raise LayerError(
                f"a grid shows the same layers of each query, but {rows[0].name!r} has "
                f"{', '.join(layers[0])}, and {row.name!r} has {', '.join(names)}"
            )


def _leads(row: GridRow, side: Side, has_target: bool) -> list[_Picture]:
    """What stands left of the reconstructions."""
    first = row.explanations[0]
    paint = first.target_kind.paint
    leads = [_Picture("query", "", first.painted_query, ())]
    if side == "output":
        if has_target and row.target is not None:
            leads.append(_Picture("target", "", paint(row.target), ()))
        if first.network_output is not None:
            measured = row.scores[0].network_to_target
            caption = () if measured is None else (_words(measured),)
            output = paint(first.network_output)
            leads.append(_Picture("network output", "", output, caption))
    return leads


def _reconstruction(row: GridRow, layer: int, side: Side) -> _Picture:
    explanation, scores = row.explanations[layer], row.scores[layer]
    pixels = explanation.painted_input if side == "input" else explanation.painted_output
    measured = _measured(scores, side)
    share = _share(scores, side)
    return _Picture(
        layer_title(explanation.layer),
        patch_words(explanation.layer),
        pixels,
        (
            f"similarity {scores.similarity:.3f}",
            *(() if measured is None else (_words(measured),)),
            *((f"no evidence {share:.1%}",) if share else ()),
        ),
    )


def _share(scores: Scores, side: Side) -> float:
    return scores.input_no_evidence if side == "input" else scores.output_no_evidence


def _measured(scores: Scores, side: Side) -> Score | None:
    return scores.input if side == "input" else scores.output


def _words(score: Score) -> str:
    return f"{_MEASURES[score.measure]} {score}"


def _block_band(
    grid: Grid,
    rows: Sequence[GridRow],
    leads: Sequence[Sequence[_Picture]],
    side: Side,
    block: Sequence[int],
) -> npt.NDArray[np.uint8]:
    """The columns of some layers, with their titles above and all rows below them."""
    head = grid.name.line_height + grid.detail.line_height + grid.gap // 2
    has_gaps = any(_share(scores, side) for row in rows for scores in row.scores)
    lines = 2 + has_gaps
    row_height = grid.cell[0] + grid.gap // 3 + lines * grid.detail.line_height + grid.gap
    canvas = Canvas(head + len(rows) * row_height, grid.width)
    for number, (row, lead) in enumerate(zip(rows, leads, strict=True)):
        top = head + number * row_height
        canvas.upward_text(row.name, top, 0, grid.cell[0], grid.detail)
        pictures = [*lead, *(_reconstruction(row, layer, side) for layer in block)]
        for column, picture in enumerate(pictures):
            left = grid.column(column)
            if number == 0:
                canvas.text(picture.title, 0, left, grid.name, width=grid.cell[1])
                detail_top = grid.name.line_height
                canvas.text(picture.detail, detail_top, left, grid.detail, width=grid.cell[1])
            canvas.framed(inside(picture.pixels, grid.cell), top, left)
            below = top + grid.cell[0] + grid.gap // 3
            canvas.lines(picture.caption, below, left, grid.detail, grid.cell[1])
    return canvas.pixels


def _foot(grid: Grid, rows: Sequence[GridRow], side: Side, note: str) -> npt.NDArray[np.uint8]:
    """The classes of the label maps that are shown, what the numbers are, and the note."""
    first = rows[0].explanations[0]
    target_kind = first.target_kind if side == "output" else Photo()
    width = grid.width - grid.left
    has_gaps = any(_share(scores, side) for row in rows for scores in row.scores)
    explained = legends(first.input_kind, target_kind, width, grid.detail.size, hatched=has_gaps)
    lines = _wrapped(f"{_key(rows[0], side)} {note}".strip(), grid.detail, width)
    words = Canvas(len(lines) * grid.detail.line_height, width)
    words.lines(lines, 0, 0, grid.detail, width)
    return grid.indented(stacked([*explained, words.pixels], grid.gap))


def _key(row: GridRow, side: Side) -> str:
    """What the numbers under the pictures are."""
    scores = row.scores[0]
    truth = "query" if side == "input" else "network's output"
    if side == "output" and scores.output_to_target is not None:
        truth = "target"
    head = (
        f"{side.capitalize()} reconstructions; under the names: size of a patch. "
        f"Similarity: mean cosine of the matches."
    )
    measured = _measured(scores, side)
    if measured is None:
        return head
    meaning = {
        "accuracy": f"share of the pixels that have the same class as in the {truth}",
        "psnr": f"against the {truth}",
        "rmse": f"root of the mean squared difference from the {truth}",
    }
    return f"{head} {_MEASURES[measured.measure]}: {meaning[measured.measure]}."


def _wrapped(text: str, style: Style, width: int) -> list[str]:
    """Divide a text between words into lines that fit."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, style) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
