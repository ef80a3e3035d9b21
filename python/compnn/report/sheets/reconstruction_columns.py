"""Columns with an input reconstruction above an output reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compnn.explanation.explanation import Explanation
from compnn.report.sheets.canvas import Canvas
from compnn.report.sheets.grid import Grid
from compnn.report.sheets.pictures import inside


@dataclass(frozen=True)
class ReconstructionColumn:
    """An explanation, with a title for its column and the line below that."""

    title: str
    detail: str
    explanation: Explanation


def reconstruction_columns(
    grid: Grid, columns: Sequence[ReconstructionColumn], below: int
) -> tuple[Canvas, int]:
    """Draw the columns; return them, and the row below the pictures, where `below` are left."""
    input_top = grid.name.line_height + grid.detail.line_height + grid.gap // 3
    output_top = input_top + grid.cell[0] + grid.gap // 2
    bottom = output_top + grid.cell[0]
    canvas = Canvas(bottom + below, grid.width)
    canvas.upward_text("input reconstruction", input_top, 0, grid.cell[0], grid.detail)
    canvas.upward_text("output reconstruction", output_top, 0, grid.cell[0], grid.detail)
    for index, column in enumerate(columns):
        left, explanation = grid.column(index), column.explanation
        canvas.text(column.title, 0, left, grid.name, width=grid.cell[1])
        canvas.text(column.detail, grid.name.line_height, left, grid.detail, width=grid.cell[1])
        canvas.framed(inside(explanation.painted_input, grid.cell), input_top, left)
        canvas.framed(inside(explanation.painted_output, grid.cell), output_top, left)
    return canvas, bottom
