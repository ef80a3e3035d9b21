"""The tables of an evaluation as a document for people."""

from __future__ import annotations

from collections.abc import Sequence

from compnn.names import shown
from compnn.studies.evaluation.result import Evaluation
from compnn.studies.evaluation.tables import Table, input_table, output_table

_LEGEND = """\
- GR: global reconstruction, the target of the training image that is nearest by the descriptor, or
  by the whole activation of the layer. OR, IR: output and input reconstruction, with matches from
  the top k images or from all.
- MPA: mean over images of pixel accuracy. Class accuracy, mean IoU and frequency-weighted IoU are
  taken of the pixel counts of all images. PSNR (dB) and SSIM are means over images; so are RMSE
  and MAE, errors of values in their unit, of which smaller is nearer.
- Similarity: mean cosine similarity of the best matches. Seconds: median time of a search.
"""
_NO_EVIDENCE = """\
- No evidence: mean share of the pixels that have no match, as their activations are all zero, or
  those of all training images. Nothing is shown there: labels are wrong, photos are compared as
  grey, values are left out of the errors.
"""
_NETWORK_LEGEND = """\
- network: the network's own output, the baseline. In brackets: the difference to it (in percentage
  points; of PSNR, SSIM and errors as they are). As network: the first measure of the picture
  against the network's own output.
"""


def markdown(found: Evaluation) -> str:
    """The document results.md."""
    settings, training = found.settings, found.plan.training
    parts = [
        f"# Evaluation of {shown(training.path.name)}\n",
        f"{settings['validation_images']} validation images; {settings['training_images']} of "
        f"{len(training.names)} training images ({shown(found.selection)}); {found.search}, "
        f"composition {found.composition}.\n",
        *(f"Note: {shown(note)}.\n" for note in found.plan.notes),
        "## Output, against the true target\n",
        _table(output_table(found)),
        "## Input reconstructions, against the query\n",
        _table(input_table(found)),
        (_NETWORK_LEGEND if found.plan.has_output else "")
        + _LEGEND
        + _NO_EVIDENCE * any(line.no_evidence > 0 for line in found.lines),
    ]
    return "\n".join(parts)


def _table(table: Table) -> str:
    rule = ["---", *("--:" for _ in table.columns[1:])]
    return "".join(map(_line, (table.columns, rule, *table.rows)))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(shown(cell).replace("|", "\\|") for cell in cells) + " |\n"
