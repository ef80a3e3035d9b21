"""Evaluating reconstructions over a validation set, as the paper's Table 1."""

from compnn.evaluation.evaluate import evaluate
from compnn.evaluation.lines import Line
from compnn.evaluation.result import Evaluation
from compnn.evaluation.rows import Row

__all__ = ["Evaluation", "Line", "Row", "evaluate"]
