"""Evaluating reconstructions over a validation set, as the paper's Table 1."""

from compnn.studies.evaluation.evaluate import evaluate
from compnn.studies.evaluation.lines import Line
from compnn.studies.evaluation.result import Evaluation
from compnn.studies.evaluation.rows import Row

__all__ = ["Evaluation", "Line", "Row", "evaluate"]
