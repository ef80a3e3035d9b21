"""compnn: why did this pixel-level network paint that?

It answers with the pieces of the training set that the network's answer is made of, after Fragoso,
Liu, Bansal, Ramanan, "Patch Correspondences for Interpreting Pixel-level CNNs".
"""

from __future__ import annotations

from importlib.metadata import version

from compnn.bank.bank import Bank
from compnn.control import Control
from compnn.datasets import CamVid, Cityscapes, Dataset, Pair, PairedFolders, SideBySide
from compnn.errors import CompnnError
from compnn.evaluation import Evaluation, evaluate
from compnn.explanation import Candidate, Explanation, Source
from compnn.field import Field
from compnn.geometry import Layer
from compnn.matching import Matching, match
from compnn.model import Model
from compnn.palette import Palette
from compnn.preprocessing import Preprocessing
from compnn.selection import Selection
from compnn.usage import Usage, UsageCounter

__version__ = version("compnn")

__all__ = [
    "Bank",
    "CamVid",
    "Candidate",
    "Cityscapes",
    "CompnnError",
    "Control",
    "Dataset",
    "Evaluation",
    "Explanation",
    "Field",
    "Layer",
    "Matching",
    "Model",
    "Pair",
    "PairedFolders",
    "Palette",
    "Preprocessing",
    "Selection",
    "SideBySide",
    "Source",
    "Usage",
    "UsageCounter",
    "__version__",
    "evaluate",
    "match",
]
