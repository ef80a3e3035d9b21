"""compnn: why did this pixel-level network paint that?

It answers with the pieces of the training set that the network's answer is made of, after Fragoso,
Liu, Bansal, Ramanan, "Patch Correspondences for Interpreting Pixel-level CNNs".
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

import compnn.report  # noqa: F401  (fills the slot for drawing)
from compnn.bank.bank import Bank, build, merge
from compnn.bank.selection import Selection
from compnn.data.camvid import CamVid
from compnn.data.cityscapes import Cityscapes
from compnn.data.coco import CocoJson
from compnn.data.dataset import Dataset, Pair
from compnn.data.folders import PairedFolders, SideBySide
from compnn.data.layouts import Ade20k, CocoStuff, PascalVoc, Roboflow
from compnn.data.memory import pairs
from compnn.errors import CompnnError, NetworkError
from compnn.explanation.explainer import Explainer
from compnn.explanation.explanation import Candidate, Explanation, Source
from compnn.images.kinds import Kind, Labels, Photo, Values
from compnn.images.palette import Palette
from compnn.network.layer import Layer
from compnn.network.network import Network
from compnn.network.onnx import OnnxNetwork
from compnn.network.output import OutputChoice
from compnn.network.preprocessing import Preprocessing
from compnn.network.reading import Reading
from compnn.search.field import Field
from compnn.search.search import Auto, Exhaustive, HyperPatchMatch, Search
from compnn.studies.control import Control, control
from compnn.studies.evaluation import Evaluation, evaluate
from compnn.studies.matching import Matching, match
from compnn.studies.usage import Usage, UsageCounter, usage

if TYPE_CHECKING:
    from compnn.network.export import export as export
    from compnn.network.torch import TorchNetwork as TorchNetwork

__version__ = version("compnn")

__all__ = [
    "Ade20k",
    "Auto",
    "Bank",
    "CamVid",
    "Candidate",
    "Cityscapes",
    "CocoJson",
    "CocoStuff",
    "CompnnError",
    "Control",
    "Dataset",
    "Evaluation",
    "Exhaustive",
    "Explainer",
    "Explanation",
    "Field",
    "HyperPatchMatch",
    "Kind",
    "Labels",
    "Layer",
    "Matching",
    "Network",
    "OnnxNetwork",
    "OutputChoice",
    "Pair",
    "PairedFolders",
    "Palette",
    "PascalVoc",
    "Photo",
    "Preprocessing",
    "Reading",
    "Roboflow",
    "Search",
    "Selection",
    "SideBySide",
    "Source",
    "Usage",
    "UsageCounter",
    "Values",
    "__version__",
    "build",
    "control",
    "evaluate",
    "match",
    "merge",
    "pairs",
    "usage",
]


# What needs PyTorch, which is imported only then; `from compnn import *` leaves it out.
_OF_TORCH = {"TorchNetwork": "compnn.network.torch", "export": "compnn.network.export"}


def __getattr__(name: str) -> object:
    if name not in _OF_TORCH:
        raise AttributeError(f"module 'compnn' has no attribute {name!r}")
    try:
        return getattr(import_module(_OF_TORCH[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise NetworkError(
            f"compnn.{name} needs PyTorch; install it with `pip install 'compnn[torch]'`"
        ) from None
