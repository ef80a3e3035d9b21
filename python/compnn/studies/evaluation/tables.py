"""The tables of an evaluation as text, in the manner of the paper's Table 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from compnn.images.kinds import Values
from compnn.studies.evaluation.lines import Line
from compnn.studies.evaluation.result import Evaluation

WORDS = {
    "pixel_accuracy": "MPA",
    "class_accuracy": "class accuracy",
    "mean_iou": "mean IoU",
    "frequency_weighted_iou": "FW IoU",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "rmse": "RMSE",
    "mae": "MAE",
    "abs_rel": "AbsRel",
    "delta": "delta < 1.25",
}
_SEARCH = ("similarity", "seconds")
_NO_EVIDENCE = "no evidence"
_BRIEF = ("pixel_accuracy", "mean_iou", "psnr", "ssim", "rmse", "mae")
_ERRORS = ("rmse", "mae")


@dataclass(frozen=True)
class Table:
    """A table of text; the rows are as long as the columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def output_table(found: Evaluation, *, brief: bool = False) -> Table:
    """Network, global and output reconstructions against the true target.

    `brief` fits into 80 characters: it has two of the measures, and no times.
    """
    lines = [line for line in found.lines if line.against == "target"]
    as_network = {line.row: line for line in found.lines if line.against == "network"}
    measures = _measures(lines[0], brief)
    kind = found.plan.training.target_kind
    unit = kind.unit if isinstance(kind, Values) else ""
    beside = ("as network",) if as_network else ()
    searched = _search_columns(lines)
    columns = ("output", *_words(measures, unit), *beside, *searched)
    rows = []
    for line in lines:
        row = [str(line.row), *_cells(line, measures, brief)]
        if line.row in as_network:
            row += _cells(as_network[line.row], measures[:1], brief)
        if line.row.kind != "network":
            row += _search_cells(line, searched)
        rows.append(row + [""] * (len(columns) - len(row)))
    return _table(columns, rows, brief)


def input_table(found: Evaluation, *, brief: bool = False) -> Table:
    """Input reconstructions against the query, as `output_table`."""
    lines = [line for line in found.lines if line.against == "input"]
    measures = _measures(lines[0], brief)
    searched = _search_columns(lines)
    rows = [
        [str(line.row), *_cells(line, measures, brief), *_search_cells(line, searched)]
        for line in lines
    ]
    return _table(("input", *_words(measures), *searched), rows, brief)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], brief: bool) -> Table:
    shown = len(columns) - brief  # the last column is that of the times
    return Table(tuple(columns[:shown]), tuple(tuple(row[:shown]) for row in rows))


def _measures(line: Line, brief: bool) -> list[str]:
    return [name for name in line.values if not brief or name in _BRIEF]


def _cells(line: Line, measures: list[str], brief: bool) -> list[str]:
    """The measures, with their differences to the network's where they are; brief: the first's."""
    cells = []
    for number, name in enumerate(measures):
        value, change = line.values[name], line.changes.get(name, math.nan)
        if name == "psnr":
            text, difference = f"{value:.2f} dB", f"{change:+.2f}"
        elif name in ("ssim", "abs_rel"):
            text, difference = f"{value:.3f}", f"{change:+.3f}"
        elif name in _ERRORS:
            text, difference = f"{value:.4g}", f"{change:+.3g}"
        else:
            text, difference = f"{value:.1%}", f"{100 * change:+.1f}"
        if not math.isnan(change) and not (brief and number):
            text += f" ({difference})"
        cells.append("-" if math.isnan(value) else text)
    return cells


def _words(measures: list[str], unit: str = "") -> list[str]:
    """The measures as heads of columns; errors are in the unit of the values."""
    return [
        f"{WORDS[name]}, {unit}" if unit and name in _ERRORS else WORDS[name] for name in measures
    ]


def _search_columns(lines: Sequence[Line]) -> tuple[str, ...]:
    """What is told of searches; pixels without evidence only where there are any."""
    return (_NO_EVIDENCE,) * any(line.no_evidence > 0 for line in lines) + _SEARCH


def _search_cells(line: Line, columns: Sequence[str]) -> list[str]:
    share = "-" if math.isnan(line.no_evidence) else f"{line.no_evidence:.1%}"
    return [share] * (_NO_EVIDENCE in columns) + [f"{line.similarity:.4f}", f"{line.seconds:.2f}"]
