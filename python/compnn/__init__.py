"""compnn: why did this pixel-level network paint that?

It answers with the pieces of the training set that the network's answer is made of, after Fragoso,
Liu, Bansal, Ramanan, "Patch Correspondences for Interpreting Pixel-level CNNs".
"""

from __future__ import annotations

from importlib.metadata import version

from compnn.bank.bank import Bank
from compnn.datasets import CamVid, Cityscapes, Dataset, Pair, PairedFolders, SideBySide
from compnn.errors import CompnnError
from compnn.explanation import Candidate, Explanation, Source
from compnn.field import Field
from compnn.geometry import Layer
from compnn.model import Model
from compnn.palette import Palette
from compnn.preprocessing import Preprocessing

__version__ = version("compnn")

__all__ = [
    "Bank",
    "CamVid",
    "Candidate",
    "Cityscapes",
    "CompnnError",
    "Dataset",
    "Explanation",
    "Field",
    "Layer",
    "Model",
    "Pair",
    "PairedFolders",
    "Palette",
    "Preprocessing",
    "SideBySide",
    "Source",
    "__version__",
]
